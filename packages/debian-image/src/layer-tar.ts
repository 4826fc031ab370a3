import { RuntimeError } from '@gantry/errors';

interface Common {
  /** Relative to the image's root; a leading slash is dropped. */
  readonly path: string;
  /** Permission bits with setuid and the like; 0755 for a directory or a file that is a program, else 0644. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since the epoch; 0 unless told. */
  readonly mtime?: number;
  /** Extended attributes by their full name, such as `security.capability`. */
  readonly xattrs?: Readonly<Record<string, Uint8Array>>;
}

/** One entry of a layer. A whiteout is a file named `.wh.<name>` (OCI image spec, layer.md). */
export type ImageFile =
  | (Common & { readonly type: 'file'; readonly content: Uint8Array | string })
  | (Common & { readonly type: 'directory' | 'fifo' })
  | (Common & { readonly type: 'symlink' | 'hardlink'; readonly target: string })
  | (Common & {
      readonly type: 'character-device' | 'block-device';
      readonly major: number;
      readonly minor: number;
    });

const typeFlags: Readonly<Record<ImageFile['type'], string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
};
const block = 512;

/**
 * Writes a tar (POSIX.1-2001: ustar headers, pax records where they do not
 * suffice). The same files give the same bytes: entries are sorted by path, with
 * hard links last so that their target comes first, and parents that are
 * missing are made. Paths are taken as they are: `..` is the caller's wish.
 */
export function writeTar(files: readonly ImageFile[]): Buffer {
  const parts: Buffer[] = [];
  for (const file of sorted(withParents(files))) {
    parts.push(...entry(file));
  }
  parts.push(Buffer.alloc(2 * block));
  return Buffer.concat(parts);
}

function withParents(files: readonly ImageFile[]): ImageFile[] {
  const byPath = new Map<string, ImageFile>();
  for (const file of files) {
    const path = cleanPath(file.path);
    if (byPath.has(path)) {
      throw new RuntimeError('invalid-argument', `make a layer: "${path}" is there twice`);
    }
    byPath.set(path, { ...file, path });
  }
  for (const path of [...byPath.keys()]) {
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      const parent = path.slice(0, slash);
      if (!byPath.has(parent) && !parent.split('/').includes('..')) {
        byPath.set(parent, { type: 'directory', path: parent });
      }
    }
  }
  return [...byPath.values()];
}

function cleanPath(path: string): string {
  const clean = path.replace(/^\/+/, '').replace(/\/+$/, '');
  if (clean === '' || clean.includes('\0')) {
    throw new RuntimeError('invalid-argument', `make a layer: "${path}" is no path in an image`);
  }
  return clean;
}

function sorted(files: ImageFile[]): ImageFile[] {
  const rank = (f: ImageFile): number => (f.type === 'hardlink' ? 1 : 0);
  return files.sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1));
}

function* entry(file: ImageFile): Iterable<Buffer> {
  const content = contentOf(file);
  const path = Buffer.from(file.type === 'directory' ? `${file.path}/` : file.path);
  const target = Buffer.from('target' in file ? file.target : '');
  const pax = paxRecords(file, path, target);
  if (pax.length > 0) {
    const name = Buffer.from('././@PaxHeader');
    yield header({ name, type: 'x', mode: 0o644, size: pax.length });
    yield* padded(pax);
  }
  yield header({
    name: path,
    link: target,
    type: typeFlags[file.type],
    mode: file.mode ?? defaultMode(file),
    uid: file.uid ?? 0,
    gid: file.gid ?? 0,
    mtime: file.mtime ?? 0,
    size: content.length,
    ...('major' in file ? { major: file.major, minor: file.minor } : {}),
  });
  yield* padded(content);
}

function contentOf(file: ImageFile): Buffer {
  if (file.type !== 'file') {
    return Buffer.alloc(0);
  }
  return typeof file.content === 'string'
    ? Buffer.from(file.content)
    : Buffer.from(file.content.buffer, file.content.byteOffset, file.content.byteLength);
}

function defaultMode(file: ImageFile): number {
  if (file.type === 'directory') {
    return 0o755;
  }
  return file.type === 'symlink' ? 0o777 : 0o644;
}

function paxRecords(file: ImageFile, path: Buffer, target: Buffer): Buffer {
  const records: Buffer[] = [];
  if (path.length > 100) {
    records.push(paxRecord('path', path));
  }
  if (target.length > 100) {
    records.push(paxRecord('linkpath', target));
  }
  for (const [name, value] of Object.entries(file.xattrs ?? {}).sort(([a], [b]) =>
    a < b ? -1 : 1,
  )) {
    records.push(paxRecord(`SCHILY.xattr.${name}`, value));
  }
  return Buffer.concat(records);
}

/** `<length> <key>=<value>\n`, where the length counts its own digits too. */
function paxRecord(key: string, value: Uint8Array): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length;
  while (length !== rest.length + String(length).length) {
    length = rest.length + String(length).length;
  }
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

interface Header {
  readonly name: Buffer;
  readonly link?: Buffer;
  readonly type: string;
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly size: number;
  readonly major?: number;
  readonly minor?: number;
}

function header(h: Header): Buffer {
  const out = Buffer.alloc(block);
  h.name.copy(out, 0, 0, 100);
  octal(out, 100, 8, h.mode);
  octal(out, 108, 8, h.uid ?? 0);
  octal(out, 116, 8, h.gid ?? 0);
  octal(out, 124, 12, h.size);
  octal(out, 136, 12, h.mtime ?? 0);
  out.fill(' ', 148, 156);
  out.write(h.type, 156);
  h.link?.copy(out, 157, 0, 100);
  out.write('ustar\x0000', 257);
  octal(out, 329, 8, h.major ?? 0);
  octal(out, 337, 8, h.minor ?? 0);
  const sum = out.reduce((total, byte) => total + byte, 0);
  out.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return out;
}

function octal(out: Buffer, at: number, length: number, value: number): void {
  const digits = value.toString(8);
  if (digits.length >= length) {
    throw new RuntimeError('invalid-argument', `make a layer: ${value} does not fit a tar header`);
  }
  out.write(digits.padStart(length - 1, '0'), at);
}

function* padded(content: Buffer): Iterable<Buffer> {
  yield content;
  yield Buffer.alloc((block - (content.length % block)) % block);
}
