import { faultPoint } from '@gantry/host';
import type { Digest } from '@gantry/oci';
import { type ImageStore, removeUnusedLayers, settleChain } from './image-store.ts';

/**
 * Removes an image with all its names, and every layer that nothing else needs;
 * they are off the disk when this resolves. A root keeps what it stands on.
 * An unknown image is a success.
 */
export async function removeImage(store: ImageStore, id: Digest): Promise<void> {
  await using _lock = await store.locks.take('image', id);
  const diffIds = store.images.layersOf(id);
  const blobs = store.images.blobsOf(id);
  store.images.remove(id);
  faultPoint('image.unnamed');
  const needed = store.images.blobs();
  for (const digest of blobs.filter((blob) => !needed.has(blob))) {
    await store.content.remove(digest);
  }
  await settleChain(store, diffIds);
  await removeUnusedLayers(store, diffIds);
}
