import { checked, lazily } from './libc.ts';

const pipe2 = lazily<[Uint8Array, number]>('pipe2', ['void *', 'int']);
const closeOnExec = 0o2000000; // O_CLOEXEC

/** Both ends of a pipe (pipe2(2)), which no program that is started inherits unless it is told to; close them with `closeFd`. */
export function openPipe(): { readonly readFd: number; readonly writeFd: number } {
  const ends = Buffer.alloc(8);
  checked(pipe2()(ends, closeOnExec), 'make a pipe');
  return { readFd: ends.readInt32LE(0), writeFd: ends.readInt32LE(4) };
}
