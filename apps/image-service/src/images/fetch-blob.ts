import { isKind } from '@gantry/errors';
import { faultPoint } from '@gantry/host';
import type { LayerSpec } from '../ports.ts';
import type { ContentStore } from '../store/content-store.ts';
import type { PartialBlob, PartialBlobs } from '../store/partial-blobs.ts';

/** A layer that may have to be fetched. */
export interface SourceLayer {
  readonly spec: LayerSpec;
  /** The source can begin anywhere, and is far: what has come is worth keeping. */
  readonly canResume: boolean;
  /** The bytes from `offset` on, which is 0 unless the source can resume. */
  open(signal: AbortSignal, offset?: number): AsyncIterable<Uint8Array>;
  /** As ImageSource has it. */
  blame?(error: Error): Promise<void>;
  hasOthers?(): Promise<boolean>;
}

interface Deps {
  readonly partials: PartialBlobs;
  readonly content: ContentStore;
}

export interface KeepOptions {
  /** Blobs of so many bytes or more are kept while they come, so that a restart continues them; 0 keeps none. */
  readonly resumeMinBytes: number;
  /** Blobs are kept for good once they are whole. */
  readonly keepCompressed: boolean;
}

/**
 * Gives the bytes of a layer's blob to `use`, which checks them: first those
 * that an earlier try left on disk, then the rest from the source. Where both
 * together are wrong, the blob is fetched once more from its first byte.
 */
export async function withBlob<T>(
  deps: Deps,
  layer: SourceLayer,
  { resumeMinBytes, keepCompressed }: KeepOptions,
  signal: AbortSignal,
  use: (bytes: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const { digest, size = 0 } = layer.spec;
  const isLarge = layer.canResume && resumeMinBytes > 0 && size >= resumeMinBytes;
  if (digest === undefined || !(isLarge || keepCompressed)) {
    return use(layer.open(signal));
  }
  await using partial = await deps.partials.take(digest, size);
  if (partial === undefined) {
    return await use(layer.open(signal));
  }
  if (!layer.canResume) {
    // It is at hand: reading all of it again costs less than keeping count.
    await partial.restart();
  }
  return await keeping(deps, { layer, partial, keepCompressed }, signal, use);
}

interface Keeping extends Pick<KeepOptions, 'keepCompressed'> {
  readonly layer: SourceLayer;
  readonly partial: PartialBlob;
}

async function keeping<T>(
  { content }: Deps,
  { layer, partial, keepCompressed }: Keeping,
  signal: AbortSignal,
  use: (bytes: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const attempt = async (): Promise<T> => {
    try {
      return await use(joined(layer, partial, signal));
    } catch (error) {
      if (isContentFault(error) || isKind(error, 'resource-exhausted')) {
        await partial.restart();
      }
      throw error;
    }
  };
  const found = partial.length;
  const result = await attempt().catch((error: unknown) => {
    if (found === 0 || signal.aborted || !isContentFault(error)) {
      throw error;
    }
    return attempt();
  });
  faultPoint('image.blob-whole');
  const { digest, size } = layer.spec;
  const isWhole = keepCompressed && (await partial.finish()) && partial.length === size;
  if (isWhole && digest !== undefined) {
    await content.adopt(digest, partial.path);
  } else {
    await partial.discard();
  }
  return result;
}

async function* joined(
  layer: SourceLayer,
  partial: PartialBlob,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const offset = partial.length;
  yield* partial.read(signal);
  for await (const chunk of layer.open(signal, offset)) {
    await partial.append(chunk);
    yield chunk;
  }
}

/** The bytes are not what they should be, and would not be when read again. */
function isContentFault(error: unknown): boolean {
  return isKind(error, 'failed-precondition') || isKind(error, 'invalid-argument');
}
