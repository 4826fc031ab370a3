import { collectGarbage } from './collect-garbage.ts';
import type { ImageStore } from './image-store.ts';
import { imageUsage, type UsageOfImage } from './image-usage.ts';
import type { IsPinned } from './pinned.ts';
import { removeImage } from './remove-image.ts';

interface Deps {
  readonly store: ImageStore;
  readonly isPinned: IsPinned;
  /** Whether any instance of the node is pulling: its layers look unused until it is done. */
  readonly isPulling: () => Promise<boolean>;
}

export interface Pruned {
  readonly removed: readonly UsageOfImage[];
  readonly freedBytes: number;
}

/**
 * Removes every image that no container uses and that is not pinned, and what
 * failed pulls have left. A container that is being created meanwhile keeps
 * what it stands on.
 */
export async function pruneImages(
  { store, isPinned, isPulling }: Deps,
  { isDryRun, signal }: { readonly isDryRun: boolean; readonly signal: AbortSignal },
): Promise<Pruned> {
  const unused = imageUsage(store, isPinned).filter((u) => u.usedBy.length === 0 && !u.isPinned);
  if (isDryRun) {
    // What two of them share, and no other image has, is freed too: it is not in either's own.
    return { removed: unused, freedBytes: unused.reduce((sum, u) => sum + u.ownBytes, 0) };
  }
  const before = await bytesOf(store);
  const removed: UsageOfImage[] = [];
  for (const usage of unused) {
    signal.throwIfAborted();
    await removeImage(store, usage.image.id);
    removed.push(usage);
  }
  if (!(await isPulling())) {
    await collectGarbage(store, 0);
  }
  return { removed, freedBytes: Math.max(0, before - (await bytesOf(store))) };
}

async function bytesOf(store: ImageStore): Promise<number> {
  const { layers, layerStore, content, partials } = store;
  const beside = [await layerStore.chainUsage(), await content.usage(), await partials.usage()];
  return beside.reduce((sum, { bytes }) => sum + bytes, layers.usage().bytes);
}
