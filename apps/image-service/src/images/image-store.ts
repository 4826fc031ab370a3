import { faultPoint } from '@gantry/host';
import type { Digest } from '@gantry/oci';
import type { Clock, LayerStore } from '../ports.ts';
import type { ContentStore } from '../store/content-store.ts';
import type { ImageRecords } from '../store/image-records.ts';
import type { LayerRecords } from '../store/layer-records.ts';
import type { RootRecords } from '../store/root-records.ts';
import type { Locks } from './locks.ts';

/** Everything that is kept of images: what the parts of this service share. */
export interface ImageStore {
  readonly images: ImageRecords;
  readonly layers: LayerRecords;
  readonly roots: RootRecords;
  readonly content: ContentStore;
  readonly layerStore: LayerStore;
  readonly locks: Locks;
  readonly clock: Clock;
}

/** Removes a layer that nothing needs; leaves one alone that somebody is busy with. */
export async function removeUnusedLayer(store: ImageStore, diffId: Digest): Promise<boolean> {
  await using lock = store.locks.tryTake('layer', diffId);
  if (lock === undefined || !store.layers.forgetUnused(diffId)) {
    return false;
  }
  faultPoint('image.layer-forgotten');
  await store.layerStore.remove(diffId);
  return true;
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
