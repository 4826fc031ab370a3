import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, open, rename, rm, stat } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { messageOf, RuntimeError } from '@gantry/errors';

/**
 * Lets `ask` have an archive written to a socket of ours, and brings it to
 * `file`, or to stdout where that is undefined. A file appears under its name
 * when it is whole and on disk, and not at all when something fails. Rejects
 * with what `ask` says, what the disk says, or the signal's reason.
 */
export async function receiveArchive<T extends { readonly bytes: bigint }>(
  file: string | undefined,
  signal: AbortSignal,
  ask: (socket: string, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  // Nobody else may come by it, nor read what comes out.
  const directory = await mkdtemp(join(tmpdir(), 'gantry-'));
  const path = join(directory, 'archive');
  const server = createServer();
  const own = new AbortController();
  const both = AbortSignal.any([signal, own.signal]);
  try {
    await once(server.listen(path), 'listening');
    const target = await openTarget(file);
    try {
      const received = receive(server, target.stream, both);
      const answer = ask(path, both);
      // Whichever fails ends the other; the first tells why.
      const stop = (error: unknown): void => own.abort(error);
      received.catch(stop);
      answer.catch(stop);
      const [bytes, result] = await Promise.all([received, answer]).catch(
        async (error: unknown) => {
          await Promise.allSettled([received, answer]);
          signal.throwIfAborted();
          throw error;
        },
      );
      if (BigInt(bytes) !== result.bytes) {
        throw new RuntimeError('internal', `export: ${bytes} bytes came of ${result.bytes}`);
      }
      await target.commit();
      return result;
    } catch (error) {
      await target.undo();
      throw error;
    }
  } finally {
    server.close();
    await rm(directory, { recursive: true, force: true });
  }
}

async function receive(server: Server, to: Writable, signal: AbortSignal): Promise<number> {
  const [socket] = (await once(server, 'connection', { signal })) as [Socket];
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  try {
    await pipeline(socket, to, { signal, end: to !== process.stdout });
  } catch (error) {
    signal.throwIfAborted();
    throw new RuntimeError('unavailable', `export: write the archive: ${messageOf(error)}`);
  }
  return bytes;
}

interface Target {
  readonly stream: Writable;
  commit(): Promise<void>;
  undo(): Promise<void>;
}

async function openTarget(file: string | undefined): Promise<Target> {
  const nothing = (): Promise<void> => Promise.resolve();
  if (file === undefined) {
    return { stream: process.stdout, commit: nothing, undo: nothing };
  }
  const found = await stat(file).catch(() => undefined);
  if (found !== undefined && !found.isFile()) {
    // A pipe or a device takes what comes; a directory says that it is one.
    return { stream: createWriteStream(file), commit: nothing, undo: nothing };
  }
  const partial = `${file}.${randomBytes(4).toString('hex')}.partial`;
  // An image may hold what is not for everyone, as of `docker save`.
  const handle = await open(partial, 'wx', 0o600).catch((cause: unknown) => {
    throw new RuntimeError('failed-precondition', `export: write ${file}: ${messageOf(cause)}`);
  });
  return {
    stream: handle.createWriteStream({ flush: true }),
    commit: () => rename(partial, file),
    undo: async () => {
      // Open still where nothing ever came to be written.
      await handle.close().catch(() => undefined);
      await rm(partial, { force: true });
    },
  };
}
