import { closeSync, constants, openSync, unlinkSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { makeNode } from '@gantry/host';

/** Two ends of a pipe. Whoever opened it closes `writeFd`; the stream closes itself at its end. */
export interface Fifo {
  readonly read: Readable;
  readonly writeFd: number;
}

const fifoType = 0o010000;

/**
 * A pipe, made as a fifo at `path` that is unlinked again at once. The pipes
 * that Node gives its children are sockets, and a program in a container that
 * opens /dev/stdout would get ENXIO.
 */
export function openFifo(path: string): Fifo {
  makeNode(Buffer.from(path), fifoType | 0o600, 0, 0);
  try {
    const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const writeFd = openSync(path, constants.O_WRONLY);
      return { read: new Socket({ fd: readFd, readable: true, writable: false }), writeFd };
    } catch (error) {
      closeSync(readFd);
      throw error;
    }
  } finally {
    unlinkSync(path);
  }
}
