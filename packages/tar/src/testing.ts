import type { TarEntryType } from './entry.ts';

/** What a test wants to stand in an archive; whatever is left out is plain. */
export interface TestEntry {
  readonly path: string | Buffer;
  readonly type?: TarEntryType;
  readonly data?: string | Buffer;
  readonly linkTarget?: string | Buffer;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly major?: number;
  readonly minor?: number;
  readonly xattrs?: Readonly<Record<string, string | Buffer>>;
  /** Further PAX records, which win over the fields. */
  readonly pax?: Readonly<Record<string, string | Buffer>>;
}

const flags: Readonly<Record<TarEntryType, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

/** An archive in ustar with PAX headers where they are needed, closed by two zero blocks. */
export function tarOf(entries: readonly TestEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(entryBlocks), Buffer.alloc(1024)]);
}

/** A header block with a right checksum; `patch` may spoil fields before it is summed. */
export function headerBlock(
  fields: TestEntry & { readonly flag?: string; readonly size?: number },
  patch?: (block: Buffer) => void,
): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, at: number, width: number) => {
    block.write(value.toString(8).padStart(width - 1, '0'), at, 'latin1');
  };
  Buffer.from(fields.path).copy(block, 0, 0, 100);
  const { mode = fields.type === 'directory' ? 0o755 : 0o644, uid = 0, gid = 0, size = 0 } = fields;
  octal(mode, 100, 8);
  octal(uid, 108, 8);
  octal(gid, 116, 8);
  octal(size, 124, 12);
  octal(fields.mtime ?? 1_700_000_000, 136, 12);
  block.write(fields.flag ?? flags[fields.type ?? 'file'], 156, 'latin1');
  Buffer.from(fields.linkTarget ?? '').copy(block, 157, 0, 100);
  block.write('ustar\x0000', 257, 'latin1');
  deviceFields(fields, octal);
  patch?.(block);
  return withChecksum(block);
}

function deviceFields(
  { major = 0, minor = 0 }: TestEntry,
  octal: (value: number, at: number, width: number) => void,
): void {
  octal(major, 329, 8);
  octal(minor, 337, 8);
}

/** Puts the right checksum into a header block. */
export function withChecksum(block: Buffer): Buffer {
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** Data with the zeros that fill its last block. */
export function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc(-data.length & 511)]);
}

/** The bytes of one PAX record. */
export function paxRecord(key: string, value: string | Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
  let length = body.length + 1;
  while (String(length).length + body.length !== length) {
    length = String(length).length + body.length;
  }
  return Buffer.concat([Buffer.from(String(length)), body]);
}

function entryBlocks(entry: TestEntry): Buffer[] {
  const data = Buffer.from(entry.data ?? '');
  const records = [
    ...(Buffer.byteLength(entry.path) > 100 ? [paxRecord('path', entry.path)] : []),
    ...(Buffer.byteLength(entry.linkTarget ?? '') > 100
      ? [paxRecord('linkpath', entry.linkTarget ?? '')]
      : []),
    ...Object.entries(entry.xattrs ?? {}).map(([k, v]) => paxRecord(`SCHILY.xattr.${k}`, v)),
    ...Object.entries(entry.pax ?? {}).map(([k, v]) => paxRecord(k, v)),
  ];
  const pax = Buffer.concat(records);
  const extension =
    pax.length === 0
      ? []
      : [headerBlock({ path: 'pax', flag: 'x', size: pax.length }), padded(pax)];
  return [...extension, headerBlock({ ...entry, size: data.length }), padded(data)];
}
