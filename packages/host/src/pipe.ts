import { writeSync } from 'node:fs';
import { checked, closeFd, lazily } from './libc.ts';

const pipe2 = lazily<[Uint8Array, number]>('pipe2', ['void *', 'int']);
const memfdCreate = lazily<[string, number]>('memfd_create', ['str', 'int']);
const pipeCloseOnExec = 0o2000000; // O_CLOEXEC
const memfdCloseOnExec = 1; // MFD_CLOEXEC

/** Both ends of a pipe (pipe2(2)), which no program that is started inherits unless it is told to; close them with `closeFd`. */
export function openPipe(): { readonly readFd: number; readonly writeFd: number } {
  const ends = Buffer.alloc(8);
  checked(pipe2()(ends, pipeCloseOnExec), 'make a pipe');
  return { readFd: ends.readInt32LE(0), writeFd: ends.readInt32LE(4) };
}

/** A file in memory that holds `content` and stands at its begin; close it with `closeFd`. */
export function openMemory(content: Uint8Array): number {
  const fd = checked(memfdCreate()('gantry', memfdCloseOnExec), 'make a file in memory');
  try {
    for (let offset = 0; offset < content.length; ) {
      // With a position: the file's own stays at its begin.
      offset += writeSync(fd, content, offset, content.length - offset, offset);
    }
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}
