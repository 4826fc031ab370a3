import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '@gantry/host';
import { type Digest, isDigest } from '@gantry/oci';
import { usageWithin } from '../adapters/usage-within.ts';
import type { Locks } from '../images/locks.ts';
import type { DiskUsage } from '../ports.ts';

const flushBytes = 1 << 20;

/**
 * Large blobs as far as they have come, one file a digest, so that a restart
 * goes on where they broke off. What lies here has not been checked: whoever
 * reads it hashes it again. Each has one owner at a time, also among replicas.
 */
export class PartialBlobs {
  readonly #directory: string;
  readonly #locks: Locks;

  private constructor(directory: string, locks: Locks) {
    this.#directory = directory;
    this.#locks = locks;
  }

  static async open(directory: string, locks: Locks): Promise<PartialBlobs> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return new PartialBlobs(directory, locks);
  }

  /** What there is of a blob, to be continued; undefined when somebody else is at it. */
  async take(digest: Digest, size: number): Promise<PartialBlob | undefined> {
    const lock = this.#locks.tryTake('blob', digest);
    if (lock === undefined) {
      return undefined;
    }
    try {
      return await PartialBlob.open(this.#pathOf(digest), size, lock);
    } catch (error) {
      await lock[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Removes what nobody is at and nobody has written to since `before` (ms since the epoch). */
  async collect(before: number): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      const digest = name.replace('-', ':');
      const path = join(this.#directory, name);
      await using lock = isDigest(digest) ? this.#locks.tryTake('blob', digest) : undefined;
      if ((lock !== undefined || !isDigest(digest)) && (await writtenAt(path)) < before) {
        await rm(path, { force: true });
      }
    }
  }

  usage(): Promise<DiskUsage> {
    return usageWithin(this.#directory);
  }

  #pathOf(digest: Digest): string {
    return join(this.#directory, digest.replace(':', '-'));
  }
}

/**
 * One blob that is coming in. Closed when it is disposed of: what has come
 * stays, unless it was discarded or taken away.
 */
export class PartialBlob implements AsyncDisposable {
  readonly path: string;
  readonly #lock: AsyncDisposable;
  /** undefined when nothing more is kept: the disk would not have it. */
  #file: FileHandle | undefined;
  #length: number;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, lock: AsyncDisposable, file: FileHandle, length: number) {
    this.path = path;
    this.#lock = lock;
    this.#file = file;
    this.#length = length;
  }

  /** What is longer than the blob can be none of it. */
  static async open(path: string, size: number, lock: AsyncDisposable): Promise<PartialBlob> {
    const file = await open(path, 'a+', 0o600);
    const { size: found } = await file.stat();
    if (found > size) {
      await file.truncate(0);
    }
    return new PartialBlob(path, lock, file, found > size ? 0 : found);
  }

  /** How many bytes of the blob are here. */
  get length(): number {
    return this.#length;
  }

  async *read(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    if (this.#length > 0) {
      const range = { end: this.#length - 1, highWaterMark: 256 << 10, signal };
      yield* createReadStream(this.path, range) as AsyncIterable<Buffer>;
    }
  }

  /** Keeps bytes that follow; rarely waits. Where they can't be written, the blob is not kept, and that is all. */
  async append(chunk: Uint8Array): Promise<void> {
    // A copy: who reads it next may hand its memory to a thread.
    this.#pending.push(Buffer.from(chunk));
    this.#pendingBytes += chunk.length;
    if (this.#pendingBytes >= flushBytes) {
      await this.#writing;
      this.#flush();
    }
  }

  /** All that was appended is in the file; false when it could not be kept. */
  async finish(): Promise<boolean> {
    await this.#writing;
    this.#flush();
    await this.#writing;
    return this.#file !== undefined;
  }

  /** Forgets what has come, to begin anew. */
  async restart(): Promise<void> {
    await this.#writing;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#length = 0;
    await this.#file?.truncate(0);
  }

  async discard(): Promise<void> {
    await this.#writing;
    await this.#giveUp();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.finish();
      if (this.#length === 0) {
        await this.#giveUp();
      }
      await this.#file?.close();
    } finally {
      await this.#lock[Symbol.asyncDispose]();
    }
  }

  #flush(): void {
    const chunks = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    if (this.#file !== undefined && chunks.length > 0) {
      this.#writing = this.#write(this.#file, chunks);
      // Heard by whoever waits for it next.
      this.#writing.catch(() => undefined);
    }
  }

  async #write(file: FileHandle, chunks: readonly Uint8Array[]): Promise<void> {
    try {
      const bytes = Buffer.concat(chunks);
      await file.appendFile(bytes);
      this.#length += bytes.length;
    } catch (error) {
      if (!hasCode(error, 'ENOSPC', 'EDQUOT', 'EIO', 'EFBIG')) {
        throw error;
      }
      // The pull itself will say what is wrong with the disk, if it is more than short of room for this.
      await this.#giveUp();
    }
  }

  async #giveUp(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#pending = [];
    this.#length = 0;
    if (file !== undefined) {
      await file.close();
      await rm(this.path, { force: true });
    }
  }
}

async function writtenAt(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return 0;
    }
    throw error;
  }
}
