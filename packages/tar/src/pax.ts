import { messageOf } from '@gantry/errors';
import { badTar, type SparseSegment } from './entry.ts';
import { parsePaxCount, parsePaxTime } from './number.ts';

/** What a PAX header says about the next entry; what it leaves out keeps the block's own value. */
export interface PaxHeader {
  path?: Buffer;
  linkTarget?: Buffer;
  size?: number;
  uid?: number;
  gid?: number;
  mtimeNanos?: bigint;
  readonly xattrs: Map<string, Buffer>;
  readonly sparse: PaxSparse;
}

/** The `GNU.sparse.*` records (GNU tar manual, "Storing Sparse Files"). */
export interface PaxSparse {
  major?: number;
  minor?: number;
  realSize?: number;
  name?: Buffer;
  /** The segments of versions 0.0 and 0.1, flat: offset, length, offset, length. */
  readonly map: number[];
}

const xattrPrefix = 'SCHILY.xattr.';
const maxXattrNameBytes = 255;
const maxXattrValueBytes = 65_536;

/**
 * Parses the records of one PAX header: `<length> <key>=<value>\n` each.
 * Unknown keys are ignored. Throws `invalid-argument` on malformed records.
 */
export function parsePax(bytes: Buffer, offset: number, maxSegments: number): PaxHeader {
  const header: PaxHeader = { xattrs: new Map(), sparse: { map: [] } };
  let at = 0;
  while (at < bytes.length) {
    const blank = bytes.indexOf(0x20, at);
    const length = parsePaxCount(
      blank === -1 || blank - at > 10 ? '' : bytes.toString('latin1', at, blank),
    );
    if (length === undefined || at + length > bytes.length || at + length <= blank + 1) {
      throw badTar('malformed PAX record length', { offset });
    }
    const record = bytes.subarray(blank + 1, at + length - 1);
    const equals = record.indexOf(0x3d);
    if (equals < 1 || bytes[at + length - 1] !== 0x0a) {
      throw badTar('malformed PAX record', { offset });
    }
    const key = record.toString('utf8', 0, equals);
    try {
      apply(header, key, Buffer.from(record.subarray(equals + 1)), maxSegments);
    } catch (cause) {
      throw badTar(`PAX record ${JSON.stringify(key.slice(0, 100))}: ${messageOf(cause)}`, {
        offset,
      });
    }
    at += length;
  }
  return header;
}

function apply(header: PaxHeader, key: string, value: Buffer, maxSegments: number): void {
  if (key.startsWith(xattrPrefix)) {
    applyXattr(header, key.slice(xattrPrefix.length), value);
    return;
  }
  if (key.startsWith('GNU.sparse.')) {
    applySparse(header.sparse, key.slice('GNU.sparse.'.length), value, maxSegments);
    return;
  }
  if (value.length === 0) {
    return;
  }
  const text = value.toString('latin1');
  switch (key) {
    case 'path':
      header.path = named(value);
      break;
    case 'linkpath':
      header.linkTarget = named(value);
      break;
    case 'size':
      header.size = counted(text);
      break;
    case 'uid':
      header.uid = counted(text);
      break;
    case 'gid':
      header.gid = counted(text);
      break;
    case 'mtime':
      header.mtimeNanos = timed(text);
      break;
    default:
  }
}

function applyXattr({ xattrs }: PaxHeader, name: string, value: Buffer): void {
  const bytes = Buffer.byteLength(name);
  if (bytes === 0 || bytes > maxXattrNameBytes || name.includes('\0')) {
    throw new Error('malformed name');
  }
  if (value.length > maxXattrValueBytes) {
    throw new Error(`value of ${value.length} bytes, more than ${maxXattrValueBytes}`);
  }
  xattrs.set(name, value);
}

function applySparse(sparse: PaxSparse, key: string, value: Buffer, maxSegments: number): void {
  const text = value.toString('latin1');
  switch (key) {
    case 'major':
      sparse.major = counted(text);
      break;
    case 'minor':
      sparse.minor = counted(text);
      break;
    case 'name':
      sparse.name = named(value);
      break;
    case 'size':
    case 'realsize':
      sparse.realSize = counted(text);
      break;
    case 'offset':
    case 'numbytes':
      addToMap(sparse, [text], maxSegments);
      break;
    case 'map':
      addToMap(sparse, text === '' ? [] : text.split(','), maxSegments);
      break;
    default:
  }
}

function addToMap(sparse: PaxSparse, numbers: readonly string[], maxSegments: number): void {
  if (sparse.map.length + numbers.length > maxSegments * 2) {
    throw new Error(`more than ${maxSegments} segments`);
  }
  for (const number of numbers) {
    sparse.map.push(counted(number));
  }
}

/** Pairs of offset and length. */
export function segmentsOf(flat: readonly number[]): SparseSegment[] {
  const segments: SparseSegment[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) {
    segments.push({ offset: flat[i] ?? 0, length: flat[i + 1] ?? 0 });
  }
  return segments;
}

function counted(text: string): number {
  const value = parsePaxCount(text);
  if (value === undefined) {
    throw new Error('malformed number');
  }
  return value;
}

function timed(text: string): bigint {
  const value = parsePaxTime(text);
  if (value === undefined) {
    throw new Error('malformed time');
  }
  return value;
}

function named(value: Buffer): Buffer {
  if (value.includes(0)) {
    throw new Error('NUL in a name');
  }
  return value;
}
