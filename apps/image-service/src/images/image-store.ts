import { faultPoint } from '@gantry/host';
import type { Digest } from '@gantry/oci';
import type { Clock, LayerStore } from '../ports.ts';
import type { ContentStore } from '../store/content-store.ts';
import type { ImageRecords } from '../store/image-records.ts';
import type { LayerRecords } from '../store/layer-records.ts';
import type { PartialBlobs } from '../store/partial-blobs.ts';
import type { RootRecords } from '../store/root-records.ts';
import type { Locks } from './locks.ts';

/** Everything that is kept of images: what the parts of this service share. */
export interface ImageStore {
  readonly images: ImageRecords;
  readonly layers: LayerRecords;
  readonly roots: RootRecords;
  readonly content: ContentStore;
  readonly partials: PartialBlobs;
  readonly layerStore: LayerStore;
  readonly locks: Locks;
  readonly clock: Clock;
}

/** Removes those of the layers that nothing needs; leaves alone what somebody is busy with. */
export async function removeUnusedLayers(
  store: ImageStore,
  diffIds: Iterable<Digest>,
): Promise<void> {
  await using locks = new AsyncDisposableStack();
  const free: Digest[] = [];
  for (const diffId of new Set(diffIds)) {
    const lock = store.locks.tryTake('layer', diffId);
    if (lock !== undefined) {
      locks.use(lock);
      free.push(diffId);
    }
  }
  const forgotten = store.layers.forgetUnused(free);
  faultPoint('image.layers-forgotten');
  await Promise.all(forgotten.map((diffId) => store.layerStore.remove(diffId)));
}

/** Drops what was made for a chain of layers that fewer, or none, stand on now. */
export async function settleChain(store: ImageStore, diffIds: readonly Digest[]): Promise<void> {
  await store.layerStore.settleChain(diffIds, () => {
    if (store.roots.standOn(diffIds)) {
      return 'running';
    }
    return store.images.standOn(diffIds) ? 'kept' : 'unused';
  });
}
