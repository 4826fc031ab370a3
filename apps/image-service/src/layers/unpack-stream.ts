import { createHash, type Hash } from 'node:crypto';
import { isKind, RuntimeError } from '@gantry/errors';
import { algorithmOf, hexOf } from '@gantry/oci';
import type { LayerSpec } from '../ports.ts';
import { denseLength } from './dense-parts.ts';
import { Inflater, magicBytes, type TakePiece } from './inflater.ts';
import { beyondLimit, checkSize, type LayerLimits } from './layer-limits.ts';
import { isFullDisk } from './tree-writer.ts';
import { otherDigest, tooLong, tooShort } from './wrong-blob.ts';

/**
 * Reads one layer as it comes, tells `take` its uncompressed bytes (valid only
 * during the call), and checks size, digest and diff id, all in one pass. The compression is told by the
 * first bytes. Throws a WrongBlobError when the bytes are not the promised ones, `failed-precondition` when
 * they are, and hold something else than was promised, and what the source or `take` throws.
 */
export async function unpackStream(
  layer: LayerSpec,
  source: AsyncIterable<Uint8Array>,
  take: TakePiece,
  limits: LayerLimits,
): Promise<void> {
  if (layer.size !== undefined && layer.size > limits.maxBytes) {
    throw beyondLimit(layer.diffId, `${layer.size} bytes as it comes`, 'max_layer_bytes');
  }
  const input = new CheckedInput(layer, source);
  const rawHash = createHash(algorithmOf(layer.diffId));
  let [raw, dense] = [0, 0];
  const consume = (chunk: Buffer): void => {
    dense += denseLength(chunk, raw);
    raw += chunk.length;
    checkSize(layer.diffId, limits, { raw, dense, received: input.received });
    rawHash.update(chunk);
    take(chunk);
  };
  try {
    await decompress(input, consume);
  } catch (error) {
    // Where the bytes are not the promised ones, say that, not what came of it.
    if (!input.hasFailed && isWorthReadingOn(error, layer)) {
      await input.drain();
      input.check();
    }
    throw error;
  }
  await input.drain();
  input.check();
  const actual = rawHash.digest('hex');
  if (actual !== hexOf(layer.diffId)) {
    const message = `layer ${layer.diffId}: uncompressed content is sha256:${actual}`;
    throw new RuntimeError('failed-precondition', message);
  }
}

/**
 * What does not fit on the disk, nothing helps. Of what is too much, no more is read but where another
 * could be asked: a mirror that sends a bomb must not keep the layer from coming, and one that is too
 * large by itself must not come from each mirror in turn. Its digest tells.
 */
function isWorthReadingOn(error: unknown, { hasOthers = false }: LayerSpec): boolean {
  return !isFullDisk(error) && (hasOthers || !isKind(error, 'resource-exhausted'));
}

async function decompress(input: CheckedInput, consume: TakePiece): Promise<void> {
  using inflater = Inflater.for(await input.peek(magicBytes));
  for (let chunk = await input.next(); chunk !== undefined; chunk = await input.next()) {
    if (inflater === undefined) {
      consume(chunk);
    } else {
      inflater.push(chunk, consume);
      if (inflater.isOver) {
        // Bytes behind the compressed stream are hashed as well: by whoever drains the input.
        return;
      }
    }
  }
  inflater?.finish(consume);
}

/** The bytes as they come, counted and hashed. */
class CheckedInput {
  readonly #layer: LayerSpec;
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #hash: Hash | undefined;
  #pending: Buffer | undefined;
  received = 0;
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
    this.received += chunk.length;
    const { size, digest } = this.#layer;
    if (size !== undefined && this.received > size) {
      throw tooLong({ digest: digest ?? this.#layer.diffId, size });
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
    if (size !== undefined && this.received !== size) {
      throw tooShort({ digest: digest ?? this.#layer.diffId, size }, this.received);
    }
    if (digest !== undefined && this.#hash !== undefined) {
      const actual = this.#hash.digest('hex');
      if (actual !== hexOf(digest)) {
        throw otherDigest({ digest }, `${algorithmOf(digest)}:${actual}`);
      }
    }
  }
}
