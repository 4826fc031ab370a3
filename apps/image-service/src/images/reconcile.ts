import type { Logger } from '@gantry/telemetry';
import { collectGarbage } from './collect-garbage.ts';
import type { ImageStore } from './image-store.ts';

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
  await collectGarbage(store);
}
