import type { FileKind } from './inode.ts';

/*
 * The on-disk format of EROFS (Linux Documentation/filesystems/erofs.rst and
 * fs/erofs/erofs_fs.h), as far as an image of tars needs it. Little-endian;
 * metadata begins at byte 0, so that a node id is an offset in units of 32.
 *
 *   0     zero
 *   1024  superblock
 *   1152  device table, 128 bytes a device
 *   ...   inodes, each followed by its xattrs and its inline data or chunk entries
 *   ...   blocks of directories and long symlinks
 */

export const superblockOffset = 1024;
export const magic = 0xe0f5_e1e2;
export const deviceTableOffset = 1152;
export const deviceSlotBytes = 128;
export const inodeBytes = 64;
export const nodeUnit = 32;
export const direntBytes = 12;
export const chunkEntryBytes = 8;
/** The whole image is a multiple of this. */
export const imageAlignment = 4096;
export const noBlock = 0xffff_ffff;

/** Offsets from the superblock. */
export const superblock = {
  magic: 0,
  checksum: 4,
  featureCompat: 8,
  blockBits: 12,
  rootNode: 14,
  inodes: 16,
  blocks: 36,
  uuid: 48,
  featureIncompat: 80,
  extraDevices: 86,
  deviceTable: 88,
} as const;

export const features = {
  checksum: 1,
  mtime: 2,
  chunkedFile: 4,
  deviceTable: 8,
} as const;

/** Offsets from the inode, extended form. */
export const inodeField = {
  format: 0,
  xattrCount: 2,
  mode: 4,
  size: 8,
  place: 16,
  number: 20,
  uid: 24,
  gid: 28,
  seconds: 32,
  nanos: 40,
  links: 44,
} as const;

/** How the data of an inode lies; the lowest bit tells the extended form. */
export const layouts = { plain: 0, inline: 2, chunks: 4 } as const;
export const extendedForm = 1;
/** In the chunk format: entries of 8 bytes with device ids. */
export const chunkIndexes = 0x20;

export const modeTypes: Readonly<Record<FileKind, number>> = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  char: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
};

/** Of a directory entry. */
export const entryTypes: Readonly<Record<FileKind, number>> = {
  file: 1,
  directory: 2,
  char: 3,
  block: 4,
  fifo: 5,
  symlink: 7,
};

export function alignUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
