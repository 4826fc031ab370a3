import { close, open, read } from 'node:fs';
import { promisify } from 'node:util';
import { hasCode } from '@gantry/host';

const [openFile, readFile, closeFile] = [promisify(open), promisify(read), promisify(close)];

// Larger than any cgroup file that is read here: one call takes it whole.
const chunkBytes = 16_384;

/**
 * The text of a kernel's file; undefined when it, or the cgroup or process that
 * it is of, is gone, or where the kernel does not keep such a figure. Half the
 * system calls of fs.readFile, which asks for a size first.
 */
export async function readSmallFile(path: string): Promise<string | undefined> {
  try {
    const fd = await openFile(path, 'r');
    try {
      return await readAll(fd);
    } finally {
      await closeFile(fd);
    }
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ENODEV', 'ESRCH', 'EOPNOTSUPP', 'EINVAL')) {
      return undefined;
    }
    throw error;
  }
}

async function readAll(fd: number): Promise<string> {
  const parts: Buffer[] = [];
  for (;;) {
    const buffer = Buffer.allocUnsafe(chunkBytes);
    const { bytesRead } = await readFile(fd, buffer, 0, chunkBytes, null);
    parts.push(buffer.subarray(0, bytesRead));
    if (bytesRead < pageBytes) {
      return Buffer.concat(parts).toString();
    }
  }
}

// A file of many records comes in reads of nearly a page: only a shorter one is the end.
const pageBytes = 3072;
