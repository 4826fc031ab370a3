import type { FileKind } from './inode.ts';

/*
 * The file beside a layer's tar. Little-endian:
 *
 *   magic (8), version u32, bytes of the tar i64, of the auxiliary file i64,
 *   records, an end mark, sha256 of all that.
 *   record: kind u8, flags u8, length of the name u8, number of the parent's
 *   record u32, name, then what the kind needs.
 *
 * A parent comes before its children; the first record is the root.
 */

export const indexMagic = 'GANTRYLX';
/** Raised with each change: an index of another version is made anew from its tar. */
export const indexVersion = 1;
export const checksumBytes = 32;
export const headerBytes = indexMagic.length + 4 + 8 + 8;

export const kindNumbers: Readonly<Record<FileKind, number>> = {
  file: 1,
  directory: 2,
  symlink: 3,
  char: 4,
  block: 5,
  fifo: 6,
};

/** Kinds of records that are no inode; `link` is a further name of an earlier record. */
export const recordKinds = { end: 0, whiteout: 16, link: 17 } as const;

export const flags = { opaque: 1, implicit: 2, auxiliary: 4 } as const;
