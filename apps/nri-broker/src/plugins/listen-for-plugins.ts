import { once } from 'node:events';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { RuntimeError } from '@gantry/errors';

/** So many may have connected without being registered yet; more are turned away. */
const mostStrangers = 64;

export interface ListenOptions {
  readonly path: string;
  /** Called for each connection; resolves when it is a plugin, or nothing any more. Never rejects. */
  readonly onConnection: (socket: Socket) => Promise<void>;
}

/**
 * Listens for plugins: a socket for root alone, in a directory that is made 0700
 * where it is missing. One that an earlier broker left is taken over; throws
 * `failed-precondition` where another process listens on it.
 */
export async function listenForPlugins(options: ListenOptions): Promise<AsyncDisposable> {
  const { path } = options;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  if (await answers(path)) {
    throw new RuntimeError(
      'failed-precondition',
      `nri socket ${path}: another process listens on it`,
    );
  }
  await rm(path, { force: true });
  const open = new Set<Socket>();
  let strangers = 0;
  const server = createServer((socket) => {
    if (strangers >= mostStrangers) {
      socket.destroy();
      return;
    }
    strangers++;
    open.add(socket);
    socket.once('close', () => {
      open.delete(socket);
    });
    void options.onConnection(socket).finally(() => {
      strangers--;
    });
  });
  server.listen(path);
  await once(server, 'listening');
  await chmod(path, 0o600);
  return {
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of open) {
        socket.destroy();
      }
      await closed;
    },
  };
}

async function answers(path: string): Promise<boolean> {
  const socket = createConnection(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
