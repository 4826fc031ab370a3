import { fchownSync } from 'node:fs';
import { Socket } from 'node:net';
import { LendingReader } from './lending-reader.ts';
import { closeFd } from './libc.ts';
import { openPipe } from './pipe.ts';
import type { Owner } from './start-process.ts';

/** A pipe for what a child writes in bulk. */
export interface OutputPipe {
  /** The child's end; the owner hands it on and calls `closePeer`. */
  readonly fd: number;
  readonly stream: LendingReader;
  closePeer(): void;
}

/** Opens one, which is `owner`'s, ours when absent. Its stream ends when nobody holds the child's end any more. */
export function openOutputPipe(owner?: Owner): OutputPipe {
  const { readFd, writeFd } = openPipe();
  using undo = new DisposableStack();
  undo.defer(() => closeFd(writeFd));
  const stream = undo.adopt(readerOf(readFd), (reader) => reader.destroy());
  if (owner !== undefined) {
    fchownSync(writeFd, owner.uid, owner.gid);
  }
  undo.move();
  let isOpen = true;
  return {
    fd: writeFd,
    stream,
    closePeer: () => {
      if (isOpen) {
        isOpen = false;
        closeFd(writeFd);
      }
    },
  };
}

function readerOf(fd: number): LendingReader {
  try {
    return new LendingReader(
      (onread) => new Socket({ fd, readable: true, writable: false, onread }),
    );
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}
