import { fchownSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { closeFd } from './libc.ts';
import { openPipe } from './pipe.ts';
import type { Owner } from './start-process.ts';

/** A pipe for what a child reads. */
export interface InputPipe {
  /** The child's end; the owner hands it on and calls `closePeer`. */
  readonly fd: number;
  readonly stream: Writable;
  closePeer(): void;
}

/** Opens one, which is `owner`'s, ours when absent. Ending the stream is the child's end of file. */
export function openInputPipe(owner?: Owner): InputPipe {
  const { readFd, writeFd } = openPipe();
  let stream: Socket;
  try {
    if (owner !== undefined) {
      fchownSync(readFd, owner.uid, owner.gid);
    }
    // Its other end stays blocking: the two have flags of their own.
    stream = new Socket({ fd: writeFd, readable: false, writable: true });
  } catch (error) {
    closeFd(readFd);
    closeFd(writeFd);
    throw error;
  }
  let isOpen = true;
  return {
    fd: readFd,
    stream,
    closePeer: () => {
      if (isOpen) {
        isOpen = false;
        closeFd(readFd);
      }
    },
  };
}
