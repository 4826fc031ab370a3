import type { SparseSegment, TarEntry } from '@gantry/tar';
import { badEntry } from './bad-entry.ts';
import { blockBytes, chunkCount, type FileData, maxChunkBits, type Run } from './inode.ts';

/** A sparse file may take so many chunk entries of metadata; beyond that it is copied out. */
const maxChunks = 1 << 16;
/** 32 bits count the blocks of a device. */
const maxDeviceBytes = blockBytes * (2 ** 32 - 1);

/**
 * How a file's bytes can be read where they lie in the tar. undefined when they
 * cannot: pieces that do not begin at blocks, or too many chunks.
 */
export function dataInTar(entry: TarEntry): FileData | undefined {
  if (entry.dataOffset + entry.size > maxDeviceBytes && entry.segments === undefined) {
    throw badEntry('lies beyond 2 TiB of its layer');
  }
  return entry.segments === undefined
    ? contiguous(entry.size, entry.dataOffset, false)
    : sparse(entry, entry.segments);
}

/** The layout of a file whose bytes lie together, from a block on. */
export function contiguous(size: number, offset: number, isAuxiliary: boolean): FileData {
  const chunkBits = bitsFor(size);
  const count = chunkCount(size, { chunkBits });
  return { isAuxiliary, chunkBits, runs: [{ chunk: 0, count, block: offset / blockBytes }] };
}

/** Hands out places in a layer's auxiliary file. */
export class AuxiliarySpace {
  #end = 0;

  /** Bytes handed out so far. */
  get size(): number {
    return this.#end;
  }

  /** Where `size` bytes may be written, and nothing else ever is. */
  take(size: number): number {
    const start = this.#end;
    const end = start + Math.ceil(size / 4096) * 4096;
    if (end > maxDeviceBytes) {
      throw badEntry('sparse files of more than 2 TiB in one layer');
    }
    this.#end = end;
    return start;
  }
}

function sparse(entry: TarEntry, all: readonly SparseSegment[]): FileData | undefined {
  const segments = all.filter(({ length }) => length > 0);
  const chunkBits = commonBits(segments, entry.size);
  if (chunkBits < 0 || chunkCount(entry.size, { chunkBits }) > maxChunks) {
    return undefined;
  }
  const chunkBytes = blockBytes * 2 ** chunkBits;
  const runs: Run[] = [];
  let at = entry.dataOffset;
  for (const { offset, length } of segments) {
    runs.push({
      chunk: offset / chunkBytes,
      count: Math.ceil(length / chunkBytes),
      block: at / blockBytes,
    });
    at += length;
  }
  if (at > maxDeviceBytes) {
    throw badEntry('lies beyond 2 TiB of its layer');
  }
  return { isAuxiliary: false, chunkBits, runs };
}

/** The largest chunk that every piece begins and ends at; -1 when it would be less than a block. */
function commonBits(segments: readonly SparseSegment[], size: number): number {
  let bits = bitsFor(size);
  for (const { offset, length } of segments) {
    bits = Math.min(bits, blockBitsOf(offset));
    // The last chunk of a file may be short: nobody reads on.
    if (offset + length !== size) {
      bits = Math.min(bits, blockBitsOf(length));
    }
  }
  return bits;
}

/** How often a number of blocks can be halved; -1 for what is no number of blocks. */
function blockBitsOf(bytes: number): number {
  if (bytes === 0) {
    return maxChunkBits;
  }
  let bits = -1;
  for (let rest = bytes / blockBytes; Number.isInteger(rest) && bits < maxChunkBits; rest /= 2) {
    bits += 1;
  }
  return bits;
}

/** The least chunk that holds so many bytes, or the largest there is. */
function bitsFor(size: number): number {
  let bits = 0;
  while (bits < maxChunkBits && blockBytes * 2 ** bits < size) {
    bits += 1;
  }
  return bits;
}
