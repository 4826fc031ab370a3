import { quote, RuntimeError } from '@gantry/errors';
import { type Digest, formatReference, parseReference } from '@gantry/oci';
import type { ImageStore } from '../images/image-store.ts';
import { kindOfFault } from '../layers/tree-writer.ts';
import type { ImageRecord } from '../store/image-records.ts';
import { dockerFiles, ociFiles, tarOfFiles } from './archive-files.ts';
import { type DescribedImage, describeForExport } from './describe-image.ts';

export type ArchiveFormat = 'oci' | 'docker';

export interface ExportedImage {
  /** On this node. */
  readonly id: Digest;
  readonly names: readonly string[];
  /** In the archive; another where its layers had to be packed anew. */
  readonly exportedId: Digest;
  /** Undefined in a docker archive, which has none. */
  readonly manifestDigest: Digest | undefined;
  readonly isExact: boolean;
}

export interface Export {
  readonly images: readonly ExportedImage[];
  readonly bytes: number;
}

/**
 * Writes images as one archive, in order, by `write`, which resolves when more
 * may come. Nothing has been written when an image is not there. Errors begin
 * with `export <name>`. A removal meanwhile leaves the layers until this is over.
 */
export async function exportImages(
  store: ImageStore,
  wanted: readonly string[],
  format: ArchiveFormat,
  write: (tar: AsyncIterable<Uint8Array>) => Promise<void>,
  signal: AbortSignal,
): Promise<Export> {
  if (wanted.length === 0) {
    throw new RuntimeError('invalid-argument', 'export: no image named');
  }
  await using held = new AsyncDisposableStack();
  const images: { record: ImageRecord; described: DescribedImage }[] = [];
  for (const text of wanted) {
    images.push(
      await naming(text, signal, async () => {
        const record = store.images.find(text);
        if (record === undefined) {
          throw new RuntimeError('not-found', 'not on this node');
        }
        holdLayers(store, record, held);
        const names = namesOf(text, record);
        return { record, described: await describeForExport(store, record, names, signal) };
      }),
    );
  }
  const files = (format === 'oci' ? ociFiles : dockerFiles)(images.map((one) => one.described));
  let bytes = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of tarOfFiles(files, signal)) {
      bytes += chunk.length;
      yield chunk;
    }
  }
  await naming(wanted.join(' '), signal, () => write(counted()));
  return {
    bytes,
    images: images.map(({ record, described }) => ({
      id: record.id,
      names: described.names,
      exportedId: described.config.digest,
      manifestDigest: format === 'oci' ? described.manifestDigest : undefined,
      isExact: described.isExact,
    })),
  };
}

/** Whoever removes layers leaves alone those that are locked. Who has the lock now keeps them as well. */
function holdLayers(store: ImageStore, { id }: ImageRecord, held: AsyncDisposableStack): void {
  for (const diffId of new Set(store.images.layersOf(id))) {
    const lock = store.locks.tryTake('layer', diffId);
    if (lock !== undefined) {
      held.use(lock);
    }
  }
}

/** The tag that was asked for; asked by id or digest, all that the image has. */
function namesOf(text: string, { repoTags }: ImageRecord): readonly string[] {
  const named = repoTags.filter((tag) => tag === text || tag === fullName(text));
  return named.length > 0 ? named : repoTags;
}

/** undefined for what is no name, such as an id. */
function fullName(text: string): string | undefined {
  try {
    return formatReference(parseReference(text));
  } catch {
    return undefined;
  }
}

async function naming<T>(
  text: string,
  signal: AbortSignal,
  work: () => T | Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    throw new RuntimeError(kindOfFault(error), `export ${quote(text)}`, { cause: error });
  }
}
