import { closeSync, openSync, readSync } from 'node:fs';
import { hasCode } from '@gantry/host';

// Larger than any cgroup file that is read here: one call takes it whole. Nothing waits between its filling and its reading.
const buffer = Buffer.allocUnsafeSlow(16_384);

/**
 * The text of a kernel's file; undefined when it, or the cgroup or process that
 * it is of, is gone, or where the kernel does not keep such a figure. At once: no
 * disk is behind these files, and a read is a tenth of what a turn of the thread pool costs.
 */
export function readSmallFile(path: string): string | undefined {
  try {
    const fd = openSync(path, 'r');
    try {
      return readAll(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ENODEV', 'ESRCH', 'EOPNOTSUPP', 'EINVAL')) {
      return undefined;
    }
    throw error;
  }
}

function readAll(fd: number): string {
  const parts: Buffer[] = [];
  for (;;) {
    const bytes = readSync(fd, buffer, 0, buffer.length, null);
    if (bytes < pageBytes && parts.length === 0) {
      return buffer.toString('utf8', 0, bytes);
    }
    parts.push(Buffer.from(buffer.subarray(0, bytes)));
    if (bytes < pageBytes) {
      return Buffer.concat(parts).toString();
    }
  }
}

// A file of many records comes in reads of nearly a page: only a shorter one is the end.
const pageBytes = 3072;
