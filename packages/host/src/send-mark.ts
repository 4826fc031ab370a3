import {
  closeSync,
  fstatSync,
  futimesSync,
  openSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import type { Duplex } from 'node:stream';
import { checked, lastErrno, lazily } from './libc.ts';

const sendfile = lazily<[number, number, Uint8Array, number]>('sendfile', [
  'int',
  'int',
  'void *',
  'ulong',
]);
const poll = lazily<[Uint8Array, number, number]>('poll', ['void *', 'ulong', 'int']);
const writable = 4; // POLLOUT
const tryAgain = 11; // EAGAIN
const pollfdBytes = 8;

/**
 * Sends a byte such that whoever comes after a `kill -9` can tell whether it was
 * sent: sendfile(2) takes it from a file, and so sets the access time of that file
 * in the same system call, which the signal does not cut in two. The file holds
 * every byte at its own place and is not written again, as what a socket holds may
 * still be its pages.
 */
export class SendMark implements Disposable {
  readonly #file: number;

  private constructor(file: number) {
    this.#file = file;
  }

  /** Makes the file, in place of an earlier one. Throws system errors. */
  static make(path: string): SendMark {
    const file = openSync(`${path}.new`, 'w+', 0o600);
    try {
      writeSync(
        file,
        Uint8Array.from({ length: 256 }, (_, byte) => byte),
      );
      renameSync(`${path}.new`, path);
      return new SendMark(file);
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  /** Whether a byte was sent since the last `reset`, by a process that may be dead; undefined where there is no such file. */
  static wasSent(path: string): boolean | undefined {
    const stats = statSync(path, { throwIfNoEntry: false });
    return stats && stats.atimeMs !== 0;
  }

  /** Whether the file system keeps access times: not one that is mounted `noatime`. */
  get isKept(): boolean {
    const nowhere = openSync('/dev/null', 'w');
    try {
      this.reset();
      return this.send(nowhere, 0) && fstatSync(this.#file).atimeMs !== 0;
    } finally {
      closeSync(nowhere);
    }
  }

  /** From here on nothing was sent. */
  reset(): void {
    futimesSync(this.#file, 0, new Date());
  }

  /**
   * False, and nothing was sent, where the socket takes no more now: ask `hasRoom` first, as the
   * try itself may set the access time. Throws system errors.
   */
  send(socket: number, byte: number): boolean {
    const offset = Buffer.alloc(8);
    offset.writeBigInt64LE(BigInt(byte));
    const sent = sendfile()(socket, this.#file, offset, 1);
    if (sent === -1 && lastErrno() === tryAgain) {
      return false;
    }
    return checked(sent, 'send a byte') === 1;
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** The descriptor of a socket of `node:net`; undefined of other streams, and once it is closed. */
export function descriptorOf(stream: Duplex): number | undefined {
  const { _handle: handle } = stream as { _handle?: { readonly fd?: number } | null };
  const fd = handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}

/** Whether a socket takes a byte now; not where the peer is gone. */
export function hasRoom(socket: number): boolean {
  const pollfd = Buffer.alloc(pollfdBytes);
  pollfd.writeInt32LE(socket, 0);
  pollfd.writeInt16LE(writable, 4);
  return poll()(pollfd, 1, 0) > 0 && pollfd.readInt16LE(6) === writable; // else there is an end or an error too
}
