import {
  badTar,
  type SparseSegment,
  type TarEntry,
  type TarEntryType,
  type TarLimits,
} from './entry.ts';
import type { RawHeader } from './header.ts';
import type { PaxHeader } from './pax.ts';

/** What extension headers before an entry said of it. */
export interface Extensions {
  pax?: PaxHeader;
  longName?: Buffer;
  longLink?: Buffer;
}

const types: Readonly<Record<string, TarEntryType>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

/** Puts an entry together; `size` is that of the data in the archive until sparse maps are known. */
export function assembleEntry(
  header: RawHeader,
  extensions: Extensions,
  dataOffset: number,
  limits: TarLimits,
): TarEntry {
  const { pax } = extensions;
  const { path, linkTarget } = namesOf(header, extensions, limits);
  const type = typeOf(header, path);
  return {
    type,
    path,
    linkTarget: type === 'symlink' || type === 'hardlink' ? linkTarget : Buffer.alloc(0),
    mode: header.mode,
    ...ownersOf(header, pax, path),
    // Links, directories and devices have no data, whatever their size field says.
    size: type === 'file' ? (pax?.size ?? header.size) : 0,
    mtimeNanos: pax?.mtimeNanos ?? BigInt(header.mtimeSeconds) * 1_000_000_000n,
    major: header.major,
    minor: header.minor,
    xattrs: pax?.xattrs ?? new Map(),
    dataOffset,
  };
}

function namesOf(
  header: RawHeader,
  { pax, longName, longLink }: Extensions,
  { maxNameBytes }: TarLimits,
): Pick<TarEntry, 'path' | 'linkTarget'> {
  const path = pax?.sparse.name ?? pax?.path ?? longName ?? header.path;
  const linkTarget = pax?.linkTarget ?? longLink ?? header.linkTarget;
  for (const name of [path, linkTarget]) {
    if (name.length > maxNameBytes) {
      throw badTar(`name of ${name.length} bytes, more than ${maxNameBytes}`, { path });
    }
  }
  return { path, linkTarget };
}

function ownersOf(header: RawHeader, pax: PaxHeader | undefined, path: Buffer) {
  const uid = pax?.uid ?? header.uid;
  const gid = pax?.gid ?? header.gid;
  // -1 means "unchanged" to chown(2).
  if (uid >= 0xffff_ffff || gid >= 0xffff_ffff) {
    throw badTar('uid or gid out of range', { path });
  }
  return { uid, gid };
}

function typeOf({ flag }: RawHeader, path: Buffer): TarEntryType {
  const type = types[flag];
  if (type === undefined) {
    throw badTar(`unknown type ${JSON.stringify(flag)}`, { path });
  }
  // Before ustar, a directory was a file whose name ends in a slash.
  return type === 'file' && flag === '\0' && path.at(-1) === 0x2f ? 'directory' : type;
}

/** The same entry as a sparse file. */
export function withSegments(
  entry: TarEntry,
  segments: readonly SparseSegment[],
  size: number,
  dataOffset: number,
): TarEntry {
  return { ...entry, size, segments, dataOffset };
}
