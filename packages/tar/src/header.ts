import { badTar } from './entry.ts';
import { parseNumber } from './number.ts';

export const blockSize = 512;

/** A header block as it stands, before extension headers are applied. */
export interface RawHeader {
  /** The type flag, one character. */
  readonly flag: string;
  readonly path: Buffer;
  readonly linkTarget: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly major: number;
  readonly minor: number;
  readonly isGnu: boolean;
}

export function isZeroBlock(block: Buffer): boolean {
  return block[0] === 0 && block.every((byte) => byte === 0);
}

/**
 * Parses one block of 512 bytes (POSIX pax, ustar; GNU tar manual, "Basic Tar
 * Format"). Throws when the checksum is wrong or a number can't be read.
 */
export function parseHeader(block: Buffer, offset: number): RawHeader {
  if (!hasValidChecksum(block)) {
    throw badTar('wrong header checksum', { offset });
  }
  const name = cString(block, 0, 100);
  const numberAt = (start: number, length: number, what: string): number => {
    const value = parseNumber(block.subarray(start, start + length));
    if (value === undefined) {
      throw badTar(`malformed ${what}`, { path: name, offset });
    }
    return value;
  };
  const unsignedAt = (start: number, length: number, what: string): number => {
    const value = numberAt(start, length, what);
    if (value < 0) {
      throw badTar(`negative ${what}`, { path: name, offset });
    }
    return value;
  };
  const magic = block.toString('latin1', 257, 265);
  const isGnu = magic === 'ustar  \0';
  const isPosix = magic.startsWith('ustar\0');
  const hasDevice = isGnu || isPosix;
  const flag = String.fromCharCode(block[156] ?? 0);
  const isDevice = flag === '3' || flag === '4';
  return {
    flag,
    path: isPosix ? joinPrefix(block, name) : name,
    linkTarget: cString(block, 157, 100),
    mode: unsignedAt(100, 8, 'mode') & 0o7777,
    uid: unsignedAt(108, 8, 'uid'),
    gid: unsignedAt(116, 8, 'gid'),
    size: unsignedAt(124, 12, 'size'),
    mtimeSeconds: numberAt(136, 12, 'mtime'),
    // Some writers leave blanks or garbage here when it is no device.
    major: hasDevice && isDevice ? unsignedAt(329, 8, 'device major') : 0,
    minor: hasDevice && isDevice ? unsignedAt(337, 8, 'device minor') : 0,
    isGnu,
  };
}

/** The bytes up to the first NUL, copied. */
export function cString(block: Buffer, start: number, length: number): Buffer {
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  return Buffer.from(end === -1 ? field : field.subarray(0, end));
}

/** Long names of ustar are cut at a slash; star has a shorter prefix, and its times after it. */
function joinPrefix(block: Buffer, name: Buffer): Buffer {
  const isStar = block.toString('latin1', 508, 512) === 'tar\0';
  const prefix = cString(block, 345, isStar ? 131 : 155);
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]);
}

function hasValidChecksum(block: Buffer): boolean {
  let unsigned = 0;
  let negatives = 0;
  for (let i = 0; i < blockSize; i++) {
    // The field itself counts as eight blanks.
    const byte = i >= 148 && i < 156 ? 0x20 : (block[i] ?? 0);
    unsigned += byte;
    negatives += byte > 127 ? 256 : 0;
  }
  const told = parseNumber(block.subarray(148, 156));
  // Historic writers summed signed characters.
  return told === unsigned || told === unsigned - negatives;
}
