import { badEntry } from './bad-entry.ts';
import type { FileKind, Xattr } from './inode.ts';

const prefixes: readonly (readonly [string, number])[] = [
  ['user.', 1],
  ['trusted.', 4],
  ['security.', 6],
];
const accessAcl = 2;
const defaultAcl = 3;
const acls: Readonly<Record<string, number>> = {
  'system.posix_acl_access': accessAcl,
  'system.posix_acl_default': defaultAcl,
};
const headerBytes = 12;
const entryBytes = 4;
/** i_xattr_icount has 16 bits and counts fours after the header. */
const maxAreaBytes = headerBytes + 4 * 0xfffe;
const maxValueBytes = 0xffff;

/**
 * The attributes of an entry that the store keeps: those that a file system
 * would take. Marks of overlayfs are made by us alone; namespaces that nothing
 * serves are left out, as an extraction leaves them out.
 */
export function xattrsOf(kind: FileKind, all: ReadonlyMap<string, Buffer>): Xattr[] {
  const kept: Xattr[] = [];
  for (const [name, value] of all) {
    const xattr = name.startsWith('system.')
      ? aclOf(kind, name, value)
      : prefixedOf(kind, name, value);
    if (xattr !== undefined) {
      kept.push(xattr);
    }
  }
  if (xattrAreaBytes(kept) > maxAreaBytes) {
    throw badEntry('extended attributes of more than 256 KiB');
  }
  return kept;
}

/** What the attributes of an inode take on disk, a multiple of four. */
export function xattrAreaBytes(xattrs: readonly Xattr[]): number {
  return xattrs.length === 0 ? 0 : xattrs.reduce((sum, xattr) => sum + sizeOf(xattr), headerBytes);
}

/** Writes them where the inode ends. */
export function writeXattrs(image: Buffer, at: number, xattrs: readonly Xattr[]): void {
  // The header stays zero: no filter, nothing shared.
  let cursor = at + headerBytes;
  for (const { index, name, value } of xattrs) {
    image.writeUInt8(name.length, cursor);
    image.writeUInt8(index, cursor + 1);
    image.writeUInt16LE(value.length, cursor + 2);
    name.copy(image, cursor + entryBytes);
    value.copy(image, cursor + entryBytes + name.length);
    cursor += sizeOf({ index, name, value });
  }
}

/** Reads them back, in full names. */
export function readXattrs(image: Buffer, at: number, bytes: number): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  let cursor = at + headerBytes;
  while (cursor + entryBytes <= at + bytes) {
    const nameBytes = image.readUInt8(cursor);
    const index = image.readUInt8(cursor + 1);
    const valueAt = cursor + entryBytes + nameBytes;
    const end = valueAt + image.readUInt16LE(cursor + 2);
    const name = image.toString('utf8', cursor + entryBytes, valueAt);
    found.set(prefixOf(index) + name, Buffer.from(image.subarray(valueAt, end)));
    cursor = at + Math.ceil((end - at) / 4) * 4;
  }
  return found;
}

function sizeOf({ name, value }: Xattr): number {
  return Math.ceil((entryBytes + name.length + value.length) / 4) * 4;
}

function prefixOf(index: number): string {
  const acl = Object.entries(acls).find(([, number]) => number === index)?.[0];
  return acl ?? prefixes.find(([, number]) => number === index)?.[0] ?? `unknown ${index}.`;
}

function prefixedOf(kind: FileKind, name: string, value: Buffer): Xattr | undefined {
  const [prefix, index] = prefixes.find(([start]) => name.startsWith(start)) ?? [];
  if (prefix === undefined || index === undefined || isOverlayMark(name)) {
    return undefined;
  }
  // Linux has user.* on files and directories only.
  if (prefix === 'user.' && kind !== 'file' && kind !== 'directory') {
    return undefined;
  }
  if (name.length === prefix.length) {
    throw badEntry(`extended attribute ${JSON.stringify(name)} has no name`);
  }
  if (value.length > maxValueBytes) {
    throw badEntry(`extended attribute of ${value.length} bytes`);
  }
  return { index, name: Buffer.from(name.slice(prefix.length)), value };
}

function isOverlayMark(name: string): boolean {
  return name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.');
}

/** POSIX ACLs are the kernel's business: one that it can't read would shut the file off. */
function aclOf(kind: FileKind, name: string, value: Buffer): Xattr | undefined {
  const index = acls[name];
  if (index === undefined || kind === 'symlink' || (index === defaultAcl && kind !== 'directory')) {
    return undefined;
  }
  const isWhole = value.length >= 4 && value.length % 8 === 4 && value.readUInt32LE(0) === 2;
  if (!isWhole || value.length > maxValueBytes) {
    throw badEntry(`malformed ${name}`);
  }
  return { index, name: Buffer.alloc(0), value };
}
