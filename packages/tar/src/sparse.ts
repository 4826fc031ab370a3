import { badTar, type SparseSegment, type TarLimits } from './entry.ts';
import { blockSize } from './header.ts';
import { parseNumber } from './number.ts';
import { segmentsOf } from './pax.ts';

const slotBytes = 24;

/** The part of an old GNU sparse map that one block holds; more follow when `isExtended`. */
export interface GnuSparseBlock {
  readonly segments: readonly SparseSegment[];
  readonly isExtended: boolean;
}

/** The four slots and the real size that an 'S' header itself holds. */
export function parseGnuSparseHeader(
  block: Buffer,
): GnuSparseBlock & { readonly realSize: number } {
  const realSize = parseNumber(block.subarray(483, 495));
  if (realSize === undefined || realSize < 0) {
    throw badTar('malformed size of a sparse file');
  }
  return { segments: slots(block, 386, 4), isExtended: block[482] !== 0, realSize };
}

/** A block of 21 more slots after an 'S' header. */
export function parseGnuSparseExtension(block: Buffer): GnuSparseBlock {
  return { segments: slots(block, 0, 21), isExtended: block[504] !== 0 };
}

function slots(block: Buffer, start: number, count: number): SparseSegment[] {
  const segments: SparseSegment[] = [];
  for (let i = 0; i < count; i++) {
    const at = start + i * slotBytes;
    const offset = parseNumber(block.subarray(at, at + 12));
    const length = parseNumber(block.subarray(at + 12, at + slotBytes));
    if (offset === undefined || length === undefined) {
      throw badTar('malformed sparse map');
    }
    // An unused slot is all zero; the list ends there.
    if (block[at] === 0 && offset === 0 && length === 0) {
      break;
    }
    segments.push({ offset, length });
  }
  return segments;
}

/** Reads the map of PAX sparse 1.0, which stands as decimal lines before the data. */
export class PaxSparseMapReader {
  readonly #limits: TarLimits;
  readonly #numbers: number[] = [];
  #expected: number | undefined;
  #digits = '';
  #bytes = 0;

  constructor(limits: TarLimits) {
    this.#limits = limits;
  }

  /** Bytes of blocks taken so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes one block; gives the segments once the last line has been seen. */
  take(block: Buffer): SparseSegment[] | undefined {
    this.#bytes += blockSize;
    for (const byte of block) {
      if (byte === 0x0a) {
        this.#line();
        if (this.#expected !== undefined && this.#numbers.length === this.#expected * 2) {
          return segmentsOf(this.#numbers);
        }
      } else if (byte >= 0x30 && byte <= 0x39 && this.#digits.length < 16) {
        this.#digits += String.fromCharCode(byte);
      } else {
        throw badTar('malformed sparse map');
      }
    }
    return undefined;
  }

  #line(): void {
    const value = this.#digits === '' ? Number.NaN : Number(this.#digits);
    this.#digits = '';
    if (!Number.isSafeInteger(value)) {
      throw badTar('malformed sparse map');
    }
    if (this.#expected !== undefined) {
      this.#numbers.push(value);
    } else if (value > this.#limits.maxSparseSegments) {
      throw badTar(`sparse map of ${value} segments, more than ${this.#limits.maxSparseSegments}`);
    } else {
      this.#expected = value;
    }
  }
}

/** Throws unless the segments ascend, lie inside the file, and add up to the bytes in the archive. */
export function checkSegments(
  segments: readonly SparseSegment[],
  realSize: number,
  dataBytes: number,
  path: Buffer,
): void {
  let end = 0;
  let total = 0;
  for (const { offset, length } of segments) {
    if (offset < end || length < 0 || offset + length > realSize) {
      throw badTar('sparse map out of order or beyond the file', { path });
    }
    end = offset + length;
    total += length;
  }
  if (total !== dataBytes) {
    throw badTar(`sparse map of ${total} bytes for ${dataBytes} bytes of data`, { path });
  }
}
