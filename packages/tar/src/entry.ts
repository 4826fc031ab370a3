import { RuntimeError } from '@gantry/errors';

export type TarEntryType =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'hardlink'
  | 'char'
  | 'block'
  | 'fifo';

/** A run of bytes that a sparse file really has; the rest of it are holes. */
export interface SparseSegment {
  readonly offset: number;
  readonly length: number;
}

/** One member of an archive, with every extension header applied. */
export interface TarEntry {
  readonly type: TarEntryType;
  /** As it stands in the archive, any bytes but NUL: not cleaned, not trusted. */
  readonly path: Buffer;
  /** Target of a symlink or hard link, as it stands; empty for others. */
  readonly linkTarget: Buffer;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Size of the file as it will be, holes included; 0 for anything but a file. */
  readonly size: number;
  /** May be negative. */
  readonly mtimeNanos: bigint;
  readonly major: number;
  readonly minor: number;
  /** Full names such as `user.x` or `security.capability`. */
  readonly xattrs: ReadonlyMap<string, Buffer>;
  /** In ascending order; absent for a file without holes. */
  readonly segments?: readonly SparseSegment[];
  /** Where the file's bytes begin in the uncompressed archive. */
  readonly dataOffset: number;
}

/** Takes what a reader finds. Runs synchronously; what it throws ends the reading. */
export interface TarSink {
  entry(entry: TarEntry): void;
  /** Bytes of the last entry, at their place in the file. The chunk is valid only during the call. */
  data(chunk: Buffer, offset: number): void;
  /** The last entry is complete. */
  end(): void;
}

/** What an archive may ask for at most. */
export interface TarLimits {
  readonly maxNameBytes: number;
  /** One PAX header. */
  readonly maxPaxBytes: number;
  readonly maxEntries: number;
  readonly maxSparseSegments: number;
  /** Of one file, holes included. */
  readonly maxFileBytes: number;
}

/** PATH_MAX, Go's limit of a PAX header, and what ext4 can hold. */
export const defaultTarLimits: TarLimits = {
  maxNameBytes: 4096,
  maxPaxBytes: 1 << 20,
  maxEntries: 10_000_000,
  maxSparseSegments: 1_000_000,
  maxFileBytes: 16 * 2 ** 40,
};

/** An `invalid-argument` that names the entry, or its offset where it has no name yet. */
export function badTar(why: string, where: { path?: Buffer; offset?: number } = {}): RuntimeError {
  const { path, offset } = where;
  const name = path === undefined ? '' : ` ${printable(path)}`;
  const place = offset === undefined ? '' : ` at byte ${offset}`;
  return new RuntimeError('invalid-argument', `tar entry${name}${place}: ${why}`);
}

/** A name for messages and logs: quoted, no control characters, never long. */
export function printable(name: Buffer): string {
  const text = name.subarray(0, 200).toString('utf8');
  return JSON.stringify(name.length > 200 ? `${text}...` : text);
}
