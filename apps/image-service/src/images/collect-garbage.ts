import { type ImageStore, removeUnusedLayers } from './image-store.ts';

/** How long what no image needs is kept, in milliseconds: a failed pull is often tried again. */
export const garbageGraceMs = 60 * 60 * 1000;

/**
 * Removes layers and blobs that nothing needs and that were written more than
 * `graceMs` ago, and what was made for chains of layers that nobody stands on.
 */
export async function collectGarbage(store: ImageStore, graceMs = garbageGraceMs): Promise<void> {
  const before = store.clock() - graceMs;
  // Written in this very millisecond counts as before when there is no grace.
  await removeUnusedLayers(store, store.layers.unused(graceMs === 0 ? before + 1 : before));
  const { roots, images } = store;
  // What a pull that is under way has just made may go too: it is made again when it is needed.
  await store.layerStore.settleChains(() => ({ running: roots.chains(), kept: images.chains() }));
  await store.partials.collect(graceMs === 0 ? Number.POSITIVE_INFINITY : before);
  const needed = store.images.blobs();
  for (const { digest, writtenAt } of await store.content.list()) {
    // Blobs are small, and written just before their image is recorded: never without grace.
    if (!needed.has(digest) && writtenAt < store.clock() - garbageGraceMs) {
      await store.content.remove(digest);
    }
  }
}
