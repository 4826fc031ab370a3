import { faultPoint } from '@gantry/host';
import type { Digest } from '@gantry/oci';
import { forgetUnusedLayers, type ImageStore, settleChain } from './image-store.ts';

/**
 * Removes an image with all its names, and every layer that nothing else needs;
 * they are off the disk when this resolves. A root keeps what it stands on.
 * An unknown image is a success.
 */
export async function removeImage(store: ImageStore, id: Digest): Promise<void> {
  await using _lock = await store.locks.take('image', id);
  const diffIds = store.images.layersOf(id);
  const blobs = store.images.blobsOf(id);
  // One write of the records: each has the disk synced.
  await using layers = await forgetUnusedLayers(store, diffIds, (free) =>
    store.images.removeWith(id, () => store.layers.forgetUnused(free)),
  );
  faultPoint('image.unnamed');
  const needed = store.images.blobs();
  const unneeded = blobs.filter((blob) => !needed.has(blob));
  await Promise.all(unneeded.map((digest) => store.content.remove(digest)));
  await settleChain(store, diffIds);
  faultPoint('image.layers-forgotten');
  await layers.remove();
}
