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
  await using forgotten = await forgetUnusedLayers(store, diffIds, (free) =>
    store.layers.forgetUnused(free),
  );
  faultPoint('image.layers-forgotten');
  await forgotten.remove();
}

/** Layers that have no record any more, and are still on disk; locked until they are disposed of. */
export interface ForgottenLayers extends AsyncDisposable {
  remove(): Promise<void>;
}

/** Locks those of the layers that nobody is busy with, and has `forget` say which of them are to go. */
export async function forgetUnusedLayers(
  store: ImageStore,
  diffIds: Iterable<Digest>,
  forget: (free: readonly Digest[]) => readonly Digest[],
): Promise<ForgottenLayers> {
  await using locks = new AsyncDisposableStack();
  const free: Digest[] = [];
  for (const diffId of new Set(diffIds)) {
    const lock = store.locks.tryTake('layer', diffId);
    if (lock !== undefined) {
      locks.use(lock);
      free.push(diffId);
    }
  }
  const forgotten = forget(free);
  const held = locks.move();
  return {
    remove: async () => {
      await Promise.all(forgotten.map((diffId) => store.layerStore.remove(diffId)));
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
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
