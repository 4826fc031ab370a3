import { writeSync } from 'node:fs';
import { checked, closeFd, lastErrno, lazily } from './libc.ts';

const memfdCreate = lazily<[string, number]>('memfd_create', ['str', 'int']);
const closeOnExec = 0x01; // MFD_CLOEXEC
const allowSealing = 0x02; // MFD_ALLOW_SEALING
const executable = 0x10; // MFD_EXEC
const invalid = 22; // EINVAL

/** A file in memory that holds `content` and stands at its begin; close it with `closeFd`. */
export function openMemory(name: string, content: Uint8Array, use: 'data' | 'program'): number {
  const fd = checked(use === 'data' ? dataFile(name) : programFile(name), 'make a file in memory');
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

function dataFile(name: string): number {
  return memfdCreate()(name, closeOnExec);
}

/** Linux 6.3 asks whether it shall be executable; before, every one was. */
function programFile(name: string): number {
  const fd = memfdCreate()(name, closeOnExec | allowSealing | executable);
  return fd === -1 && lastErrno() === invalid
    ? memfdCreate()(name, closeOnExec | allowSealing)
    : fd;
}
