import { blockBytes } from './inode.ts';
import { direntBytes } from './layout.ts';

/** How the entries of a directory are shared out to blocks. */
export interface DirectoryBlocks {
  /** The first entry of each block, and one past the last entry. */
  readonly starts: readonly number[];
  /** Bytes used in the last block. */
  readonly lastBytes: number;
}

/** Fills blocks with entries in order; names are at most 255 bytes, so that each fits. */
export function shareOut(names: readonly string[]): DirectoryBlocks {
  const starts = [0];
  let used = 0;
  for (const [index, name] of names.entries()) {
    const bytes = direntBytes + name.length;
    if (used + bytes > blockBytes) {
      starts.push(index);
      used = 0;
    }
    used += bytes;
  }
  starts.push(names.length);
  return { starts, lastBytes: used };
}

/** What an entry points to. */
export interface DirectoryTarget {
  readonly node: number;
  readonly type: number;
}

/** Writes the entries from `first` to before `end` as one block: all entries, then all names. */
export function writeDirectoryBlock(
  image: Buffer,
  at: number,
  names: readonly string[],
  targets: readonly DirectoryTarget[],
  first: number,
  end: number,
): void {
  let entryAt = at;
  let nameAt = at + direntBytes * (end - first);
  for (let i = first; i < end; i++) {
    const name = names[i] ?? '';
    const { node = 0, type = 0 } = targets[i] ?? {};
    // A node id has 64 bits; ours are offsets in units of 32.
    image.writeUInt32LE(node >>> 0, entryAt);
    image.writeUInt32LE(Math.floor(node / 2 ** 32), entryAt + 4);
    image.writeUInt16LE(nameAt - at, entryAt + 8);
    image.writeUInt8(type, entryAt + 10);
    image.write(name, nameAt, name.length, 'latin1');
    entryAt += direntBytes;
    nameAt += name.length;
  }
}
