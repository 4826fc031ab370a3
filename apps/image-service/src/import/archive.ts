import { createReadStream } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { RuntimeError } from '@gantry/errors';
import { hasCode } from '@gantry/host';
import { maxDocumentBytes } from '@gantry/oci';
import { readTar, type TarEntry } from '@gantry/tar';
import type { TemporaryPath } from '../store/temporary-space.ts';

/** A set of files by name, in a directory or a tar. */
export interface Archive {
  /** undefined when there is none. Throws for one that is larger than any document. */
  read(path: string): Promise<Buffer | undefined>;
  /** The bytes of a file. Throws `invalid-argument` when there is none. */
  open(path: string): AsyncIterable<Uint8Array>;
}

interface Member {
  readonly offset: number;
  readonly size: number;
  /** Another member that this one stands for. */
  readonly link?: string;
}

const maxMembers = 100_000;
const maxLinks = 10;

export class DirectoryArchive implements Archive {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async read(path: string): Promise<Buffer | undefined> {
    try {
      const file = this.#pathOf(path);
      checkSize(path, (await stat(file)).size);
      return await readFile(file);
    } catch (error) {
      if (hasCode(error, 'ENOENT')) {
        return undefined;
      }
      throw error;
    }
  }

  async *open(path: string): AsyncGenerator<Uint8Array> {
    try {
      yield* createReadStream(this.#pathOf(path)) as AsyncIterable<Buffer>;
    } catch (error) {
      throw hasCode(error, 'ENOENT') ? missing(path) : error;
    }
  }

  #pathOf(path: string): string {
    if (posix.isAbsolute(path) || posix.normalize(path).startsWith('..')) {
      throw new RuntimeError('invalid-argument', `${path}: leads out of the archive`);
    }
    return join(this.#root, path);
  }
}

/** A tar on disk: read once for its table, then in pieces. */
export class TarArchive implements Archive {
  readonly #file: string;
  readonly #members: ReadonlyMap<string, Member>;

  private constructor(file: string, members: ReadonlyMap<string, Member>) {
    this.#file = file;
    this.#members = members;
  }

  /** Throws `invalid-argument` when the file is no tar. */
  static async open(file: string): Promise<TarArchive> {
    const members = new Map<string, Member>();
    const source = createReadStream(file, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>;
    await readTar(
      source,
      {
        entry: (entry) => {
          members.set(posix.normalize(entry.path.toString()), memberOf(entry));
        },
        data: () => undefined,
        end: () => undefined,
      },
      { maxEntries: maxMembers },
    );
    return new TarArchive(file, members);
  }

  async read(path: string): Promise<Buffer | undefined> {
    const member = this.#find(path);
    if (member === undefined) {
      return undefined;
    }
    checkSize(path, member.size);
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#stream(member)) {
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  async *open(path: string): AsyncGenerator<Uint8Array> {
    const member = this.#find(path);
    if (member === undefined) {
      throw missing(path);
    }
    yield* this.#stream(member);
  }

  async *#stream({ offset, size }: Member): AsyncGenerator<Uint8Array> {
    if (size > 0) {
      const range = { start: offset, end: offset + size - 1, highWaterMark: 256 << 10 };
      yield* createReadStream(this.#file, range) as AsyncIterable<Buffer>;
    }
  }

  #find(path: string): Member | undefined {
    let member = this.#members.get(posix.normalize(path));
    for (let links = 0; member?.link !== undefined && links < maxLinks; links++) {
      member = this.#members.get(member.link);
    }
    return member?.link === undefined ? member : undefined;
  }
}

function memberOf(entry: TarEntry): Member {
  if (entry.segments !== undefined) {
    throw new RuntimeError('invalid-argument', 'a sparse file in an image archive');
  }
  const { dataOffset: offset, size } = entry;
  const target = entry.linkTarget.toString();
  switch (entry.type) {
    case 'hardlink':
      return { offset, size, link: posix.normalize(target) };
    case 'symlink':
      return { offset, size, link: posix.join(posix.dirname(entry.path.toString()), target) };
    default:
      return { offset, size };
  }
}

/** Opens a path as what it is: a directory, a tar, or a tar in gzip, which goes to `scratch` first. */
export async function openArchive(path: string, scratch: TemporaryPath): Promise<Archive> {
  const stats = await stat(path).catch((cause: unknown) => {
    throw hasCode(cause, 'ENOENT', 'ENOTDIR')
      ? new RuntimeError('not-found', `${path}: no such file or directory`)
      : cause;
  });
  if (stats.isDirectory()) {
    return new DirectoryArchive(path);
  }
  if (!stats.isFile()) {
    throw new RuntimeError('invalid-argument', `${path}: neither a file nor a directory`);
  }
  if (!(await isGzip(path))) {
    return TarArchive.open(path);
  }
  const file = await open(scratch.path, 'wx', 0o600);
  await pipeline(createReadStream(path), createGunzip(), file.createWriteStream());
  return TarArchive.open(scratch.path);
}

async function isGzip(path: string): Promise<boolean> {
  await using file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
  return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
}

function checkSize(path: string, size: number): void {
  if (size > maxDocumentBytes) {
    throw new RuntimeError('invalid-argument', `${path}: ${size} bytes are too many`);
  }
}

function missing(path: string): RuntimeError {
  return new RuntimeError('invalid-argument', `${path}: not in the archive`);
}
