import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { mkdir, open, readdir, rename, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { hasCode, syncDirectory } from '@gantry/host';
import { algorithmOf, type Digest, hexOf, isDigest } from '@gantry/oci';
import type { DiskUsage } from '../ports.ts';
import { type TemporarySpace, unlinkIfThere } from './temporary-space.ts';

const algorithms = ['sha256', 'sha512'] as const;

/**
 * Blobs that images are described by (configs, manifests), one file a digest:
 * `blobs/sha256/<hex>`. What has a name there was whole when it got it; a power
 * cut may still take it until it has been flushed, so whoever reads it hashes it.
 */
export class ContentStore {
  /** Holds all of it. */
  readonly directory: string;
  readonly #blobs: string;
  readonly #temporary: TemporarySpace;

  private constructor(directory: string, temporary: TemporarySpace) {
    this.directory = directory;
    this.#blobs = join(directory, 'blobs');
    this.#temporary = temporary;
  }

  static async open(directory: string, temporary: TemporarySpace): Promise<ContentStore> {
    const store = new ContentStore(directory, temporary);
    for (const algorithm of algorithms) {
      await mkdir(join(store.#blobs, algorithm), { recursive: true, mode: 0o700 });
    }
    return store;
  }

  /** The content, checked again; undefined when it is not here or not what its name says. */
  async read(digest: Digest): Promise<Buffer | undefined> {
    try {
      // They are small, and each turn of the thread pool costs more than the read.
      const bytes = readFileSync(this.#pathOf(digest));
      return isOf(digest, bytes) ? bytes : undefined;
    } catch (error) {
      if (hasCode(error, 'ENOENT')) {
        return undefined;
      }
      throw error;
    }
  }

  /** Its length in bytes; undefined when it is not here. */
  async sizeOf(digest: Digest): Promise<number | undefined> {
    return (await statOrNothing(this.#pathOf(digest)))?.size;
  }

  /** The bytes of a blob of any size, as they lie there: the reader checks them. */
  open(digest: Digest, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return createReadStream(this.#pathOf(digest), { highWaterMark: 1 << 20, signal });
  }

  /** Keeps a blob, on disk for sure once it is flushed. Throws `failed-precondition` when the bytes are not of that digest. */
  async write(digest: Digest, bytes: Buffer): Promise<void> {
    if (!isOf(digest, bytes)) {
      throw new RuntimeError(
        'failed-precondition',
        `blob ${digest}: its content has another digest`,
      );
    }
    if ((await this.read(digest)) !== undefined) {
      // Young again: nobody may collect it before its image has been recorded.
      const now = new Date();
      await utimes(this.#pathOf(digest), now, now);
      return;
    }
    await using place = this.#temporary.file();
    await writeFile(place.path, bytes, { flag: 'wx', mode: 0o600 });
    await place.moveTo(this.#pathOf(digest));
  }

  /** Has these blobs survive a power cut. */
  async flush(digests: readonly Digest[]): Promise<void> {
    await Promise.all(
      digests.map(async (digest) => {
        await using file = await open(this.#pathOf(digest), 'r');
        await file.sync();
      }),
    );
    for (const algorithm of new Set(digests.map(algorithmOf))) {
      await syncDirectory(join(this.#blobs, algorithm));
    }
  }

  /**
   * Keeps a file as a blob, which is gone from its path then. The caller has
   * checked its content, and wants it on disk when this resolves.
   */
  async adopt(digest: Digest, path: string): Promise<void> {
    {
      await using file = await open(path, 'r');
      await file.sync();
    }
    await rename(path, this.#pathOf(digest));
    await syncDirectory(join(this.#blobs, algorithmOf(digest)));
  }

  /** Reports whether a blob of that size is here, and if so keeps it from being collected soon. */
  async refresh(digest: Digest, size: number): Promise<boolean> {
    if ((await this.sizeOf(digest)) !== size) {
      return false;
    }
    const now = new Date();
    await utimes(this.#pathOf(digest), now, now);
    return true;
  }

  async remove(digest: Digest): Promise<void> {
    await unlinkIfThere(this.#pathOf(digest));
  }

  /** Every blob, with the time in ms since the epoch at which it was written. */
  async list(): Promise<{ digest: Digest; writtenAt: number; bytes: number }[]> {
    const found: { digest: Digest; writtenAt: number; bytes: number }[] = [];
    for (const algorithm of algorithms) {
      for (const hex of await readdir(join(this.#blobs, algorithm))) {
        const digest = `${algorithm}:${hex}`;
        const stats = await statOrNothing(join(this.#blobs, algorithm, hex));
        if (stats !== undefined && isDigest(digest)) {
          found.push({ digest, writtenAt: stats.mtimeMs, bytes: stats.blocks * 512 });
        }
      }
    }
    return found;
  }

  async usage(): Promise<DiskUsage> {
    const blobs = await this.list();
    return { bytes: blobs.reduce((sum, { bytes }) => sum + bytes, 0), inodes: blobs.length };
  }

  #pathOf(digest: Digest): string {
    return join(this.#blobs, algorithmOf(digest), hexOf(digest));
  }
}

function isOf(digest: Digest, bytes: Buffer): boolean {
  return createHash(algorithmOf(digest)).update(bytes).digest('hex') === hexOf(digest);
}

async function statOrNothing(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return undefined;
    }
    throw error;
  }
}
