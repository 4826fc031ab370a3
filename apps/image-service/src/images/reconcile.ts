import type { Digest } from '@gantry/oci';
import type { Logger } from '@gantry/telemetry';
import type { ContentStore } from '../store/content-store.ts';
import { collectGarbage } from './collect-garbage.ts';
import type { ImageStore } from './image-store.ts';

/** No larger blob is read at a start. */
const hashedBytes = 1 << 20;

/**
 * Makes records and disk agree at start: what is whole is kept, what is not is
 * gone. Safe beside replicas that are at work: whatever is locked is theirs.
 */
export async function reconcile(store: ImageStore, log: Pick<Logger, 'warn'>): Promise<void> {
  const { layers, layerStore, images, content, locks } = store;
  const doubtful = new Set(layers.doubtful());
  for (const diffId of layers.all()) {
    await using lock = locks.tryTake('layer', diffId);
    if (lock === undefined) {
      continue;
    }
    const isWhole = !doubtful.has(diffId) && (await layerStore.has(diffId));
    if (!isWhole) {
      log.warn({ diffId }, 'layer is lost or torn: removed with the images that need it');
      layers.forgetLost(diffId);
      await layerStore.remove(diffId);
    }
  }
  for (const diffId of await layerStore.list()) {
    await using lock = locks.tryTake('layer', diffId);
    if (lock !== undefined && !layers.has(diffId)) {
      await layerStore.remove(diffId);
    }
  }
  for (const { id } of images.list()) {
    if ((await content.read(id)) === undefined) {
      log.warn({ image: id }, 'config of the image is lost or damaged: image removed');
      images.remove(id);
    }
  }
  await checkBlobs(store, log);
  await collectGarbage(store);
}

/** Manifests and layers as they came: an image runs without them, but no record may point at what is not there. */
async function checkBlobs(
  { images, content, locks }: ImageStore,
  log: Pick<Logger, 'warn'>,
): Promise<void> {
  for (const { id, digest, size } of images.blobSizes()) {
    await using lock = locks.tryTake('image', id);
    if (lock === undefined || digest === id || (await isWhole(content, digest, size))) {
      continue;
    }
    log.warn({ image: id, digest }, 'a manifest or layer of the image is lost or damaged');
    images.forgetBlob(digest);
    await content.remove(digest);
  }
}

/** What is large is hashed when it is read. */
async function isWhole(content: ContentStore, digest: Digest, size: number): Promise<boolean> {
  return size <= hashedBytes
    ? (await content.read(digest)) !== undefined
    : (await content.sizeOf(digest)) === size;
}
