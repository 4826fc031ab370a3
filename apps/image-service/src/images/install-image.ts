import { createHash } from 'node:crypto';
import { RuntimeError } from '@gantry/errors';
import { faultPoint } from '@gantry/host';
import {
  algorithmOf,
  type Descriptor,
  type Digest,
  digestOf,
  type ImageConfig,
  type ImageManifest,
  isLayerType,
  maxDocumentBytes,
  parseImageConfig,
} from '@gantry/oci';
import { withSpan } from '@gantry/telemetry';
import { WrongBlobError } from '../layers/wrong-blob.ts';
import type { DiskUsage, ImageSource, LayerSpec } from '../ports.ts';
import type { NewImage } from '../store/image-records.ts';
import { type KeepOptions, type SourceLayer, withBlob } from './fetch-blob.ts';
import type { ImageStore } from './image-store.ts';
import { LayerProgress } from './layer-progress.ts';
import { forEachLimited } from './limit.ts';
import type { LayerReport } from './pull-board.ts';
import { SharedWork } from './shared-work.ts';

/** An image whose config has been read and checked, and whose layers can be fetched. */
export interface InstallableImage {
  readonly id: Digest;
  readonly config: Buffer;
  readonly user: string;
  readonly documents: readonly { readonly digest: Digest; readonly bytes: Buffer }[];
  readonly layers: readonly SourceLayer[];
}

export interface ImageNames {
  readonly tags: readonly string[];
  readonly digests: readonly string[];
}

/** A layer can be taken from under a commit by a removal only so often. */
const maxRounds = 3;

/** Brings images from any source into the store: layers first, records last, nothing visible between. */
export class ImageInstaller {
  readonly #store: ImageStore;
  readonly #maxConcurrent: number;
  readonly #keep: KeepOptions;
  readonly #onLayer: ((seconds: number, bytes: number) => void) | undefined;
  readonly #fetching = new SharedWork<void>();
  readonly #progress = new LayerProgress();

  constructor(
    store: ImageStore,
    options: KeepOptions & {
      readonly maxConcurrentDownloads: number;
      /** Told of each layer that was fetched: how long it took, and its bytes as they came. */
      readonly onLayer?: (seconds: number, bytes: number) => void;
    },
  ) {
    this.#store = store;
    this.#maxConcurrent = options.maxConcurrentDownloads;
    this.#keep = options;
    this.#onLayer = options.onLayer;
  }

  /** What has become of a layer that is to be fetched. */
  progressOf(diffId: Digest): Pick<LayerReport, 'received' | 'state'> {
    const received = this.#progress.received(diffId);
    if (received !== undefined) {
      return { received, state: 'fetching' };
    }
    return { received: 0, state: this.#store.layers.has(diffId) ? 'present' : 'waiting' };
  }

  /** Fetches every layer that is not here, at most so many at once. */
  async fetchLayers(image: InstallableImage, signal: AbortSignal): Promise<void> {
    const chain = image.layers.map(({ spec }) => spec.diffId);
    const { layers, layerStore } = this.#store;
    if (layers.hasAll(chain) && (await layerStore.hasChain(chain))) {
      return;
    }
    await forEachLimited(image.layers, this.#maxConcurrent, signal, (layer, own) =>
      this.#fetchLayer(layer, chain, own),
    );
  }

  /** Makes images visible whose layers have been fetched: all on disk first, then each record at once. */
  async commit(image: InstallableImage, names: ImageNames, signal: AbortSignal): Promise<void> {
    const { images, layers, content, layerStore, locks } = this.#store;
    const diffIds = image.layers.map(({ spec }) => spec.diffId);
    // Against a removal of the same image, which takes away the blobs that are written here.
    await using _lock = await locks.take('image', image.id, signal);
    const documents = [{ digest: image.id, bytes: image.config }, ...image.documents];
    const blobs = documents.map(({ digest, bytes }) => ({ digest, size: bytes.length }));
    const plain: NewImage = { id: image.id, user: image.user, diffIds, blobs, ...names };
    if (images.holds(plain) && (await this.#haveAll(blobs))) {
      return;
    }
    for (const { digest, bytes } of documents) {
      await content.write(digest, bytes);
    }
    faultPoint('image.blobs-written');
    const record = { ...plain, blobs: [...blobs, ...(await this.#keptBlobs(image))] };
    for (let round = 1; ; round++) {
      await this.#prepareChain(diffIds, signal);
      faultPoint('image.chain-prepared');
      if (layers.areSynced(diffIds)) {
        await content.flush(blobs.map(({ digest }) => digest));
      } else {
        await withSpan('image.sync', {}, () => layerStore.sync(content.directory));
      }
      faultPoint('image.layers-synced');
      signal.throwIfAborted();
      const missing = images.add(record);
      if (missing.length === 0) {
        faultPoint('image.committed');
        return;
      }
      if (round === maxRounds) {
        throw new RuntimeError('unavailable', `layer ${missing[0]}: removed while it was needed`);
      }
      await this.fetchLayers(image, signal);
    }
  }

  /** Reports whether the documents of an image are here and whole. */
  async #haveAll(blobs: readonly { readonly digest: Digest }[]): Promise<boolean> {
    const read = await Promise.all(blobs.map(({ digest }) => this.#store.content.read(digest)));
    return read.every((bytes) => bytes !== undefined);
  }

  /** Those of the layers that are here as they came. */
  async #keptBlobs({ layers }: InstallableImage): Promise<{ digest: Digest; size: number }[]> {
    const { content } = this.#store;
    const kept = layers.map(async ({ spec: { digest, size } }) => {
      const isKnown = digest !== undefined && size !== undefined;
      return isKnown && (await content.refresh(digest, size)) ? [{ digest, size }] : [];
    });
    return (await Promise.all(kept)).flat();
  }

  /** Before the image is visible: what can't be prepared is told by the pull, not by its first container. */
  async #prepareChain(diffIds: readonly Digest[], signal: AbortSignal): Promise<void> {
    const { layerStore } = this.#store;
    try {
      await withSpan('image.prepare_chain', { 'layer.count': diffIds.length }, () =>
        layerStore.prepareChain(diffIds, { signal }),
      );
    } catch (error) {
      const present = await Promise.all(diffIds.map((diffId) => layerStore.has(diffId, diffIds)));
      // A layer that was removed meanwhile is fetched again by the next round.
      if (signal.aborted || present.every(Boolean)) {
        throw error;
      }
    }
  }

  /** Once more from the next that has it, for as long as somebody sends wrong bytes. */
  async #prepareLayer(layer: SourceLayer, signal: AbortSignal): Promise<DiskUsage> {
    const { layerStore } = this.#store;
    for (;;) {
      const hasOthers = (await layer.hasOthers?.()) ?? false;
      try {
        return await withBlob(this.#store, layer, this.#keep, signal, (blob) => {
          const bytes = this.#progress.count(layer.spec.diffId, blob);
          return layerStore.prepareLayer({ ...layer.spec, hasOthers }, bytes, { signal });
        });
      } catch (error) {
        if (!(error instanceof WrongBlobError) || layer.blame === undefined || signal.aborted) {
          throw error;
        }
        await layer.blame(error);
      }
    }
  }

  async #fetchLayer(
    layer: SourceLayer,
    chain: readonly Digest[],
    signal: AbortSignal,
  ): Promise<void> {
    const { diffId, digest, size } = layer.spec;
    const { layers, layerStore, locks } = this.#store;
    const isHere = async (): Promise<boolean> =>
      layers.has(diffId) && (await layerStore.has(diffId, chain));
    // Without a lock: should it be removed meanwhile, the commit finds it missing.
    if (await isHere()) {
      return;
    }
    await this.#fetching.run(`${diffId} ${digest ?? ''}`, signal, async (own) => {
      await using _lock = await locks.take('layer', diffId, own);
      if (await isHere()) {
        return;
      }
      const attributes = {
        'layer.diff_id': diffId,
        'layer.digest': digest ?? '',
        'layer.size': size ?? 0,
      };
      await withSpan('image.layer', attributes, async (span) => {
        const startedAt = performance.now();
        const usage = await this.#prepareLayer(layer, own);
        faultPoint('image.layer-written');
        try {
          layers.add(diffId, usage);
        } catch (error) {
          // Of a layer without a record nobody would know.
          await layerStore.remove(diffId);
          throw error;
        }
        faultPoint('image.layer-recorded');
        span.setAttribute('layer.unpacked_bytes', usage.bytes);
        this.#onLayer?.((performance.now() - startedAt) / 1000, size ?? 0);
      });
    });
  }
}

/** Reads and checks what a manifest promises of an image, layers apart. */
export async function describeImage(
  source: ImageSource,
  manifest: ImageManifest,
  documents: InstallableImage['documents'],
  signal: AbortSignal,
): Promise<InstallableImage> {
  const config = await readChecked(source, manifest.config, signal);
  const id = manifest.config.digest;
  const parsed = parseImageConfig(config, `config ${id} (${manifest.config.mediaType})`);
  return {
    id,
    config,
    user: parsed.user,
    documents,
    layers: pairLayers(manifest, parsed).map((layer) => ({
      spec: layer,
      canResume: source.canResume,
      open: (own, offset = 0) => source.openBlob(layer.descriptor, { signal: own, offset }),
      ...(source.blame && { blame: source.blame.bind(source, layer.descriptor) }),
      ...(source.hasOthers && { hasOthers: source.hasOthers.bind(source, layer.descriptor) }),
    })),
  };
}

async function readChecked(
  source: ImageSource,
  blob: Descriptor,
  signal: AbortSignal,
): Promise<Buffer> {
  if (blob.size > maxDocumentBytes) {
    throw new RuntimeError('failed-precondition', `config ${blob.digest}: ${blob.size} bytes`);
  }
  const bytes = await source.readBlob(blob, { signal });
  const algorithm = algorithmOf(blob.digest);
  const actual = digestOf(algorithm, createHash(algorithm).update(bytes).digest('hex'));
  if (actual !== blob.digest || bytes.length !== blob.size) {
    throw new RuntimeError(
      'failed-precondition',
      `config ${blob.digest}: its content has the digest ${actual} and ${bytes.length} bytes, ` +
        `where its manifest tells ${blob.size}`,
    );
  }
  return bytes;
}

function pairLayers(
  manifest: ImageManifest,
  config: ImageConfig,
): (LayerSpec & { readonly descriptor: Descriptor })[] {
  const { layers } = manifest;
  if (layers.length !== config.diffIds.length) {
    throw new RuntimeError(
      'failed-precondition',
      `manifest has ${layers.length} layers, its config ${config.diffIds.length}`,
    );
  }
  return config.diffIds.map((diffId, index) => {
    const descriptor = layers[index];
    if (descriptor === undefined || !isLayerType(descriptor.mediaType)) {
      const type = JSON.stringify(descriptor?.mediaType.slice(0, 100));
      throw new RuntimeError('failed-precondition', `layer ${diffId}: unknown media type ${type}`);
    }
    return { diffId, digest: descriptor.digest, size: descriptor.size, descriptor };
  });
}
