import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import type { Transform } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { RuntimeError } from '@gantry/errors';
import { algorithmOf, hexOf } from '@gantry/oci';
import type { LayerSpec } from '../ports.ts';

const gzipMagic = Buffer.from([0x1f, 0x8b]);
const zstdMagic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const chunkSize = 256 << 10;

/**
 * Reads one layer as it comes, tells `take` its uncompressed bytes, and checks
 * size, digest and diff id, all in one pass. The compression is told by the
 * first bytes. Throws `failed-precondition` when the content is not what was
 * promised, and what the source or `take` throws.
 */
export async function unpackStream(
  layer: LayerSpec,
  source: AsyncIterable<Uint8Array>,
  take: (chunk: Buffer) => void,
  maxBytes: number,
): Promise<void> {
  const input = new CheckedInput(layer, source);
  const rawHash = createHash(algorithmOf(layer.diffId));
  let raw = 0;
  const consume = (chunk: Buffer): void => {
    raw += chunk.length;
    if (raw > maxBytes) {
      throw new RuntimeError(
        'resource-exhausted',
        `layer ${layer.diffId}: more than ${maxBytes} bytes when uncompressed`,
      );
    }
    rawHash.update(chunk);
    take(chunk);
  };
  try {
    await decompress(input, consume);
  } catch (error) {
    // Where the bytes are not the promised ones, say that, not what came of it.
    if (!input.hasFailed) {
      await input.drain();
      input.check();
    }
    throw error;
  }
  await input.drain();
  input.check();
  const actual = rawHash.digest('hex');
  if (actual !== hexOf(layer.diffId)) {
    throw mismatch(`layer ${layer.diffId}: uncompressed content is sha256:${actual}`);
  }
}

async function decompress(input: CheckedInput, consume: (chunk: Buffer) => void): Promise<void> {
  const head = await input.peek(4);
  const codec = codecOf(head);
  if (codec === undefined) {
    for (let chunk = await input.next(); chunk !== undefined; chunk = await input.next()) {
      consume(chunk);
    }
    return;
  }
  // Fed by hand and not by a pipe: bytes behind the compressed stream must be hashed as well.
  const feeding = feed(input, codec);
  feeding.catch((error: Error) => codec.destroy(error));
  try {
    for await (const chunk of codec as AsyncIterable<Buffer>) {
      consume(chunk);
    }
  } catch (error) {
    if (isZlibError(error)) {
      throw new RuntimeError('failed-precondition', 'decompress', { cause: error });
    }
    throw error;
  } finally {
    codec.destroy();
  }
  await feeding;
}

function codecOf(head: Buffer): Transform | undefined {
  if (head.subarray(0, 2).equals(gzipMagic)) {
    return createGunzip({ chunkSize });
  }
  return head.equals(zstdMagic) ? createZstdDecompress({ chunkSize }) : undefined;
}

async function feed(input: CheckedInput, codec: Transform): Promise<void> {
  const ended = new AbortController();
  const end = () => ended.abort();
  codec.once('end', end).once('close', end).once('error', end);
  for (let chunk = await input.next(); chunk !== undefined; chunk = await input.next()) {
    if (ended.signal.aborted) {
      return;
    }
    if (!codec.write(chunk)) {
      await once(codec, 'drain', { signal: ended.signal }).catch(() => undefined);
    }
  }
  if (!ended.signal.aborted) {
    codec.end();
  }
}

/** The bytes as they come, counted and hashed. */
class CheckedInput {
  readonly #layer: LayerSpec;
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #hash: Hash | undefined;
  #pending: Buffer | undefined;
  #received = 0;
  hasFailed = false;

  constructor(layer: LayerSpec, source: AsyncIterable<Uint8Array>) {
    this.#layer = layer;
    this.#iterator = source[Symbol.asyncIterator]();
    this.#hash = layer.digest === undefined ? undefined : createHash(algorithmOf(layer.digest));
  }

  /** The first `count` bytes, or fewer where there are no more; they stay to be read. */
  async peek(count: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let length = 0;
    while (length < count) {
      const chunk = await this.next();
      if (chunk === undefined) {
        break;
      }
      chunks.push(chunk);
      length += chunk.length;
    }
    this.#pending = Buffer.concat(chunks);
    return this.#pending.subarray(0, count);
  }

  async next(): Promise<Buffer | undefined> {
    const pending = this.#pending;
    if (pending !== undefined && pending.length > 0) {
      this.#pending = undefined;
      return pending;
    }
    try {
      const result = await this.#iterator.next();
      return result.done === true ? undefined : this.#count(result.value);
    } catch (error) {
      this.hasFailed = true;
      throw error;
    }
  }

  #count(value: Uint8Array): Buffer {
    const chunk = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    this.#received += chunk.length;
    const { size, digest } = this.#layer;
    if (size !== undefined && this.#received > size) {
      throw mismatch(`blob ${digest}: more than the ${size} bytes that its manifest tells`);
    }
    this.#hash?.update(chunk);
    return chunk;
  }

  async drain(): Promise<void> {
    while ((await this.next()) !== undefined) {
      // Only its hash and length count.
    }
  }

  check(): void {
    const { size, digest } = this.#layer;
    if (size !== undefined && this.#received !== size) {
      throw mismatch(`blob ${digest}: ${this.#received} bytes where its manifest tells ${size}`);
    }
    if (digest !== undefined && this.#hash !== undefined) {
      const actual = this.#hash.digest('hex');
      if (actual !== hexOf(digest)) {
        throw mismatch(
          `blob ${digest}: its content has the digest ${algorithmOf(digest)}:${actual}`,
        );
      }
    }
  }
}

function isZlibError(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return code.startsWith('Z_') || code.startsWith('ZSTD_') || code.startsWith('ERR_ZSTD');
}

function mismatch(message: string): RuntimeError {
  return new RuntimeError('failed-precondition', message);
}
