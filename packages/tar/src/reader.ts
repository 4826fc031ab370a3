import { assembleEntry, type Extensions, withSegments } from './assemble.ts';
import {
  badTar,
  defaultTarLimits,
  type SparseSegment,
  type TarEntry,
  type TarLimits,
  type TarSink,
} from './entry.ts';
import { blockSize, cString, isZeroBlock, parseHeader, type RawHeader } from './header.ts';
import { parsePax, segmentsOf } from './pax.ts';
import {
  checkSegments,
  type GnuSparseBlock,
  PaxSparseMapReader,
  parseGnuSparseExtension,
  parseGnuSparseHeader,
} from './sparse.ts';

/*
 *             ┌───────────────────────────────────────────────┐
 *             ▼                                               │
 *   header ──x,g,L,K──▶ meta ──────────────▶ padding ─────────┤
 *      ├────S extended─▶ gnu map ─┐                           │
 *      ├────PAX 1.0────▶ pax map ─┤                           │
 *      ├────file──────────────────┴▶ data ──▶ padding ────────┤
 *      ├────no data───────────────────────────────────────────┘
 *      └────zero block─▶ zero ──zero block──▶ done
 */
type State = 'header' | 'meta' | 'gnu map' | 'pax map' | 'data' | 'padding' | 'zero' | 'done';

interface Pending {
  readonly entry: TarEntry;
  /** Bytes in the archive that the map and the data take together. */
  readonly archived: number;
  realSize: number;
  readonly segments: SparseSegment[];
}

const metaFlags: ReadonlySet<string> = new Set(['x', 'g', 'L', 'K']);

/**
 * Reads a tar archive that is pushed to it in pieces of any size, and tells a
 * sink what it finds: ustar, v7, star, PAX and GNU, long names and sparse files
 * included. It holds one extension header or sparse map at most, never a file.
 * Global PAX headers are skipped, as Go's reader and so containerd does.
 */
export class TarReader {
  readonly #sink: TarSink;
  readonly #limits: TarLimits;
  readonly #block = Buffer.alloc(blockSize);
  #filled = 0;
  #state: State = 'header';
  #offset = 0;
  #entries = 0;
  #extensions: Extensions = {};

  #metaFlag = '';
  #meta = Buffer.alloc(0);
  #metaFilled = 0;

  #pending: Pending | undefined;
  #paxMap: PaxSparseMapReader | undefined;

  #segments: readonly SparseSegment[] = [];
  #segment = 0;
  #inSegment = 0;
  /** Bytes of data that are still to come. */
  #remaining = 0;
  #padding = 0;

  constructor(sink: TarSink, limits: Partial<TarLimits> = {}) {
    this.#sink = sink;
    this.#limits = { ...defaultTarLimits, ...limits };
  }

  /** Takes the next bytes. Throws `invalid-argument` on a malformed archive; it must not be pushed to again then. */
  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      const used = this.#step(rest);
      this.#offset += used;
      rest = rest.subarray(used);
      this.#settle();
    }
  }

  /** The archive has ended. Throws when it ended inside an entry; the closing zero blocks may be missing. */
  finish(): void {
    const isWhole = this.#state === 'done' || this.#state === 'zero' || this.#state === 'header';
    if (!isWhole || this.#filled > 0) {
      throw badTar('archive ends in the middle of it', { offset: this.#offset });
    }
    if (this.#extensions.pax || this.#extensions.longName || this.#extensions.longLink) {
      throw badTar('archive ends after an extension header', { offset: this.#offset });
    }
  }

  #step(chunk: Buffer): number {
    switch (this.#state) {
      case 'done':
        return chunk.length;
      case 'padding':
        return Math.min(chunk.length, this.#padding);
      case 'data':
        return this.#takeData(chunk);
      case 'meta': {
        const used = chunk.copy(this.#meta, this.#metaFilled);
        this.#metaFilled += used;
        return used;
      }
      default:
        return this.#takeBlock(chunk);
    }
  }

  /** Moves on from states that have got all they wait for; `#step` has counted what came. */
  #settle(): void {
    if (this.#state === 'padding') {
      this.#padding = -this.#offset & (blockSize - 1);
      if (this.#padding === 0) {
        this.#state = 'header';
      }
    } else if (this.#state === 'meta' && this.#metaFilled === this.#meta.length) {
      this.#finishMeta();
      this.#skipPadding();
    } else if (this.#state === 'data' && this.#remaining === 0) {
      this.#sink.end();
      this.#skipPadding();
    }
  }

  #skipPadding(): void {
    this.#padding = -this.#offset & (blockSize - 1);
    this.#state = this.#padding === 0 ? 'header' : 'padding';
  }

  #takeBlock(chunk: Buffer): number {
    if (this.#filled === 0 && chunk.length >= blockSize) {
      this.#useBlock(chunk.subarray(0, blockSize));
      return blockSize;
    }
    const used = chunk.copy(this.#block, this.#filled);
    this.#filled += used;
    if (this.#filled === blockSize) {
      this.#filled = 0;
      this.#useBlock(this.#block);
    }
    return used;
  }

  #useBlock(block: Buffer): void {
    switch (this.#state) {
      case 'gnu map':
        this.#takeGnuMap(block);
        return;
      case 'pax map':
        this.#takePaxMap(block);
        return;
      case 'zero':
        if (!isZeroBlock(block)) {
          throw badTar('a single zero block between entries', { offset: this.#blockStart() });
        }
        this.#state = 'done';
        return;
      default:
        this.#takeHeader(block);
    }
  }

  /** Where the block that is being used begins; pieces before the last are counted already. */
  #blockStart(): number {
    return Math.floor(this.#offset / blockSize) * blockSize;
  }

  #takeHeader(block: Buffer): void {
    if (isZeroBlock(block)) {
      this.#state = 'zero';
      return;
    }
    const start = this.#blockStart();
    const header = parseHeader(block, start);
    this.#count(start);
    if (metaFlags.has(header.flag)) {
      this.#beginMeta(header, start);
      return;
    }
    const entry = assembleEntry(header, this.#extensions, start + blockSize, this.#limits);
    const sparse = this.#extensions.pax?.sparse;
    this.#extensions = {};
    if (entry.size > this.#limits.maxFileBytes) {
      throw badTar(`file of ${entry.size} bytes`, { path: entry.path });
    }
    if (entry.type !== 'file') {
      this.#emit(entry, 0);
      return;
    }
    const pending = { entry, archived: entry.size, realSize: entry.size, segments: [] };
    if (header.flag === 'S') {
      this.#pending = pending;
      const map = parseGnuSparseHeader(block);
      this.#pending.realSize = map.realSize;
      this.#addGnuMap(map);
    } else if (sparse?.major === 1) {
      this.#pending = { ...pending, realSize: sparse.realSize ?? entry.size };
      this.#paxMap = new PaxSparseMapReader(this.#limits);
      this.#state = 'pax map';
    } else if (sparse?.realSize !== undefined) {
      this.#pending = { ...pending, realSize: sparse.realSize, segments: segmentsOf(sparse.map) };
      this.#emitSparse(entry.dataOffset, entry.size);
    } else {
      this.#emit(entry, entry.size);
    }
  }

  #count(offset: number): void {
    this.#entries += 1;
    if (this.#entries > this.#limits.maxEntries) {
      throw badTar(`more than ${this.#limits.maxEntries} entries`, { offset });
    }
  }

  #beginMeta({ flag, size }: RawHeader, offset: number): void {
    const isName = flag === 'L' || flag === 'K';
    const limit = isName ? this.#limits.maxNameBytes + 1 : this.#limits.maxPaxBytes;
    if (size > limit) {
      const what = isName ? 'long name' : 'PAX header';
      throw badTar(`${what} of ${size} bytes, more than ${limit}`, { offset });
    }
    this.#metaFlag = flag;
    this.#meta = Buffer.alloc(size);
    this.#metaFilled = 0;
    this.#state = size === 0 ? 'header' : 'meta';
  }

  #finishMeta(): void {
    const meta = this.#meta;
    const { maxSparseSegments } = this.#limits;
    switch (this.#metaFlag) {
      case 'x':
        this.#extensions.pax = parsePax(meta, this.#offset - meta.length, maxSparseSegments);
        break;
      case 'L':
        this.#extensions.longName = cString(meta, 0, meta.length);
        break;
      case 'K':
        this.#extensions.longLink = cString(meta, 0, meta.length);
        break;
      default:
    }
    this.#meta = Buffer.alloc(0);
  }

  #takeGnuMap(block: Buffer): void {
    this.#addGnuMap(parseGnuSparseExtension(block));
  }

  #addGnuMap(map: GnuSparseBlock): void {
    const pending = this.#mustPend();
    pending.segments.push(...map.segments);
    if (pending.segments.length > this.#limits.maxSparseSegments) {
      throw badTar('sparse map too long', { path: pending.entry.path });
    }
    if (map.isExtended) {
      this.#state = 'gnu map';
    } else {
      this.#emitSparse(this.#blockStart() + blockSize, pending.archived);
    }
  }

  #takePaxMap(block: Buffer): void {
    const pending = this.#mustPend();
    const map = this.#paxMap;
    const segments = map?.take(block);
    const left = pending.archived - (map?.bytes ?? 0);
    if (left < 0) {
      throw badTar('sparse map longer than the entry', { path: pending.entry.path });
    }
    if (segments !== undefined) {
      pending.segments.push(...segments);
      this.#emitSparse(this.#blockStart() + blockSize, left);
    }
  }

  #mustPend(): Pending {
    if (this.#pending === undefined) {
      throw new TypeError('no entry is pending');
    }
    return this.#pending;
  }

  #emitSparse(dataOffset: number, dataBytes: number): void {
    const { entry, realSize, segments } = this.#mustPend();
    this.#pending = undefined;
    this.#paxMap = undefined;
    if (realSize > this.#limits.maxFileBytes) {
      throw badTar(`file of ${realSize} bytes`, { path: entry.path });
    }
    checkSegments(segments, realSize, dataBytes, entry.path);
    this.#emit(withSegments(entry, segments, realSize, dataOffset), dataBytes);
  }

  #emit(entry: TarEntry, dataBytes: number): void {
    this.#segments = entry.segments ?? [{ offset: 0, length: dataBytes }];
    this.#segment = 0;
    this.#inSegment = 0;
    this.#remaining = dataBytes;
    this.#sink.entry(entry);
    if (dataBytes === 0) {
      this.#sink.end();
      this.#state = 'header';
    } else {
      this.#state = 'data';
    }
  }

  #takeData(chunk: Buffer): number {
    const available = Math.min(chunk.length, this.#remaining);
    let used = 0;
    while (used < available) {
      const segment = this.#segments[this.#segment];
      if (segment === undefined) {
        throw new TypeError('data beyond the sparse map');
      }
      const size = Math.min(available - used, segment.length - this.#inSegment);
      if (size > 0) {
        this.#sink.data(chunk.subarray(used, used + size), segment.offset + this.#inSegment);
      }
      used += size;
      this.#inSegment += size;
      if (this.#inSegment === segment.length) {
        this.#segment += 1;
        this.#inSegment = 0;
      }
    }
    this.#remaining -= used;
    return used;
  }
}
