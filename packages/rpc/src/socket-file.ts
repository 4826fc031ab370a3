import { lstat, mkdir, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import { RuntimeError } from '@gantry/errors';

const longestPath = 107; // sockaddr_un, without its closing zero: unix(7).

/**
 * Makes `path` free to listen on: makes its directory, and removes the socket
 * that a dead process has left. Throws `failed-precondition` when a process
 * still answers there or the file is no socket, and `invalid-argument` for a
 * path that is too long.
 */
export async function clearSocketPath(path: string): Promise<void> {
  const length = Buffer.byteLength(path);
  if (length > longestPath) {
    throw new RuntimeError(
      'invalid-argument',
      `listen on ${path}: a socket's path may have ${longestPath} bytes, this has ${length}`,
    );
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  const file = await lstat(path).catch(ignoreMissing);
  if (file === undefined) {
    return;
  }
  if (!file.isSocket()) {
    throw new RuntimeError('failed-precondition', `listen on ${path}: the file is not a socket`);
  }
  if (await isServed(path)) {
    throw new RuntimeError(
      'failed-precondition',
      `listen on ${path}: already served by another process`,
    );
  }
  await rm(path, { force: true });
}

function isServed(path: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const socket = createConnection(path);
  socket.once('connect', () => {
    socket.destroy();
    resolve(true);
  });
  socket.once('error', (cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ECONNREFUSED' || cause.code === 'ENOENT') {
      resolve(false);
    } else {
      reject(new RuntimeError('failed-precondition', `listen on ${path}`, { cause }));
    }
  });
  return promise;
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') {
    throw error;
  }
}
