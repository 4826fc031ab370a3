/*
 * What both trees are made of: that of a layer and that of an image. Names and
 * targets are latin1 strings, one character a byte, for they may be any bytes.
 */

export type FileKind = 'file' | 'directory' | 'symlink' | 'char' | 'block' | 'fifo';

/** Everything that is kept of a file but its names. */
export interface Inode {
  readonly kind: FileKind;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Modification time, in whole seconds since the epoch; may be negative. */
  readonly seconds: number;
  readonly nanos: number;
  readonly xattrs: readonly Xattr[];
  /** Of a file, holes included; 0 for anything else. */
  readonly size: number;
  /** Of a symlink; empty for anything else. */
  readonly target: string;
  /** Of a device, as `rdevOf` packs it; 0 for anything else. */
  readonly rdev: number;
  /** Absent for what has no bytes. */
  readonly data?: FileData;
}

/** An extended attribute as EROFS keeps it: the prefix as a number. */
export interface Xattr {
  readonly index: number;
  /** Without the prefix. */
  readonly name: Buffer;
  readonly value: Buffer;
}

/** Where the bytes of a file lie. What no run covers is a hole. */
export interface FileData {
  /** In the layer's second file, which holds what the tar has in no usable shape. */
  readonly isAuxiliary: boolean;
  /** A chunk is so many blocks, as a power of two. */
  readonly chunkBits: number;
  readonly runs: readonly Run[];
}

/** Chunks that follow one another in the file and on the device; the last of a file may be short. */
export interface Run {
  readonly chunk: number;
  readonly count: number;
  /** Where the first begins on the device, in blocks. */
  readonly block: number;
}

export const blockBytes = 512;
export const maxNameBytes = 255;
/** Of a chunk, in blocks: what the on-disk format can say. */
export const maxChunkBits = 31;

export function chunkBytesOf(data: Pick<FileData, 'chunkBits'>): number {
  return blockBytes * 2 ** data.chunkBits;
}

/** How many chunks a file has. */
export function chunkCount(size: number, data: Pick<FileData, 'chunkBits'>): number {
  return Math.ceil(size / chunkBytesOf(data));
}

/** The kernel's 32 bits of a device number (new_encode_dev); undefined when it does not fit. */
export function rdevOf(major: number, minor: number): number | undefined {
  if (major > 0xfff || minor > 0xf_ffff) {
    return undefined;
  }
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}
