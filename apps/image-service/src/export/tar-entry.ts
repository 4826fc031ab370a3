import type { TarEntry, TarEntryType } from '@gantry/tar';

/** What one member of an archive is made of; its data follows as it is. */
export type WrittenEntry = Pick<
  TarEntry,
  | 'type'
  | 'path'
  | 'linkTarget'
  | 'mode'
  | 'uid'
  | 'gid'
  | 'size'
  | 'mtimeNanos'
  | 'major'
  | 'minor'
> &
  Partial<Pick<TarEntry, 'xattrs'>>;

const flags: Readonly<Record<TarEntryType, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};
const block = 512;
const nanosPerSecond = 1_000_000_000n;
const maxOctal = { id: 0o7777777, size: 0o77777777777 } as const;

/** Two blocks of zeros. */
export const endOfArchive = Buffer.alloc(2 * block);

/** A file or directory of an archive that is put together here, owned by root, of no particular time. */
export function plainEntry(path: string, size: number, type: TarEntryType = 'file'): WrittenEntry {
  return {
    type,
    path: Buffer.from(path),
    linkTarget: Buffer.alloc(0),
    mode: type === 'directory' ? 0o755 : 0o644,
    uid: 0,
    gid: 0,
    size,
    mtimeNanos: 0n,
    major: 0,
    minor: 0,
  };
}

/** The header of an entry in ustar, after a PAX header (POSIX.1-2001) where that can't hold all of it. */
export function entryHeader(entry: WrittenEntry): Buffer {
  const records = paxRecords(entry);
  const header = ustarHeader(entry, flags[entry.type]);
  if (records.length === 0) {
    return header;
  }
  const pax = Buffer.concat(records);
  const extension = ustarHeader({ ...plainEntry('pax', pax.length), mode: 0o600 }, 'x');
  return Buffer.concat([extension, pax, paddingOf(pax.length), header]);
}

/** The zeros that fill the last block of so many bytes. */
export function paddingOf(bytes: number): Buffer {
  return Buffer.alloc((block - (bytes % block)) % block);
}

function paxRecords(entry: WrittenEntry): Buffer[] {
  const {
    path,
    linkTarget,
    uid,
    gid,
    size,
    mtimeNanos,
    xattrs = new Map<string, Buffer>(),
  } = entry;
  const isPlainTime = mtimeNanos >= 0n && mtimeNanos % nanosPerSecond === 0n;
  return [
    ...(fits(path) ? [] : [paxRecord('path', path)]),
    ...(fits(linkTarget) ? [] : [paxRecord('linkpath', linkTarget)]),
    ...(uid > maxOctal.id ? [paxRecord('uid', String(uid))] : []),
    ...(gid > maxOctal.id ? [paxRecord('gid', String(gid))] : []),
    ...(size > maxOctal.size ? [paxRecord('size', String(size))] : []),
    ...(isPlainTime && mtimeNanos / nanosPerSecond <= BigInt(maxOctal.size)
      ? []
      : [paxRecord('mtime', decimal(mtimeNanos))]),
    ...[...xattrs].map(([name, value]) => paxRecord(`SCHILY.xattr.${name}`, value)),
  ];
}

/** Names that are no ASCII go to a PAX record: readers differ in what they make of them in ustar. */
function fits(name: Buffer): boolean {
  return name.length <= 100 && name.every((byte) => byte < 0x80);
}

function paxRecord(key: string, value: string | Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
  // The length counts its own digits.
  let length = body.length + 1;
  while (String(length).length + body.length !== length) {
    length = String(length).length + body.length;
  }
  return Buffer.concat([Buffer.from(String(length)), body]);
}

function decimal(nanos: bigint): string {
  const absolute = nanos < 0n ? -nanos : nanos;
  const fraction = String(absolute % nanosPerSecond)
    .padStart(9, '0')
    .replace(/0+$/, '');
  const seconds = `${nanos < 0n ? '-' : ''}${absolute / nanosPerSecond}`;
  return fraction === '' ? seconds : `${seconds}.${fraction}`;
}

function ustarHeader(entry: WrittenEntry, flag: string): Buffer {
  const header = Buffer.alloc(block);
  const octal = (value: number, at: number, width: number): void => {
    header.write(value.toString(8).padStart(width - 1, '0'), at, 'latin1');
  };
  const orNothing = (value: number, most: number): number => (value > most ? 0 : value);
  const seconds = entry.mtimeNanos < 0n ? 0 : Number(entry.mtimeNanos / nanosPerSecond);
  entry.path.copy(header, 0, 0, 100);
  octal(entry.mode, 100, 8);
  octal(orNothing(entry.uid, maxOctal.id), 108, 8);
  octal(orNothing(entry.gid, maxOctal.id), 116, 8);
  octal(orNothing(entry.size, maxOctal.size), 124, 12);
  octal(orNothing(seconds, maxOctal.size), 136, 12);
  header.fill(0x20, 148, 156);
  header.write(flag, 156, 'latin1');
  entry.linkTarget.copy(header, 157, 0, 100);
  header.write('ustar\x0000', 257, 'latin1');
  octal(entry.major, 329, 8);
  octal(entry.minor, 337, 8);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}
