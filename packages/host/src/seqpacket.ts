import { closeSync, constants, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { adoptDescriptor } from './adopt-descriptor.ts';
import { closeFd, lastErrno, lazily } from './libc.ts';
import { requireCleanPath, systemError } from './system-error.ts';
import { unixAddress } from './unix-address.ts';

const socket = lazily<[number, number, number]>('socket', ['int', 'int', 'int']);
const connect = lazily<[number, Uint8Array, number]>('connect', ['int', 'void *', 'int']);

const unix = 1; // AF_UNIX
const seqpacket = 5 | 0o4000 | 0o2000000; // SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC
const pathOnly = 0o10000000; // O_PATH
const again = 11; // EAGAIN: its queue of connections is full
const retryMs = 5;

/**
 * Connects to the SOCK_SEQPACKET socket at `path`, however long that is. Each 'data' event is one
 * packet, as long as nobody pauses the socket; each write becomes one packet when the one before
 * has been called back (Node joins those that wait). It stays writable after the other side has
 * ended. Waits while the other side has no room for a connection; throws as `signal` says.
 */
export async function connectSeqpacket(
  path: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Socket> {
  const doing = `connect to ${path}`;
  requireCleanPath(path, doing);
  // By way of the directory's descriptor, for a socket's path has no more than 107 bytes.
  const directory = openSync(dirname(path), pathOnly | constants.O_DIRECTORY);
  try {
    const address = unixAddress(`/proc/self/fd/${String(directory)}/${basename(path)}`, doing);
    for (;;) {
      const errno = tryConnect(address, doing);
      if (typeof errno !== 'number') {
        return errno;
      }
      if (errno !== again) {
        throw systemError(errno, doing);
      }
      await delay(retryMs, undefined, options.signal === undefined ? {} : options);
    }
  } finally {
    closeSync(directory);
  }
}

/** The socket, or the errno of a connect(2) that failed. */
function tryConnect(address: Buffer, doing: string): Socket | number {
  const fd = socket()(unix, seqpacket, 0);
  if (fd === -1) {
    throw systemError(lastErrno(), doing);
  }
  if (connect()(fd, address, address.length) === -1) {
    const errno = lastErrno();
    closeFd(fd);
    return errno;
  }
  return adoptDescriptor(fd, { allowHalfOpen: true });
}
