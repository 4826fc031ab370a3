import type { ImageRecord } from '../store/image-records.ts';
import type { ImageStore } from './image-store.ts';
import type { IsPinned } from './pinned.ts';

/** What one image takes on disk, and who keeps it there. */
export interface UsageOfImage {
  readonly image: ImageRecord;
  /** Of its bytes, what no other image shares. */
  readonly ownBytes: number;
  /** The owners of the roots and volumes that stand on it. */
  readonly usedBy: readonly string[];
  readonly isPinned: boolean;
}

/** Every image, the largest first. */
export function imageUsage(store: ImageStore, isPinned: IsPinned): UsageOfImage[] {
  return store.images
    .list()
    .map((image) => ({
      image,
      ownBytes: store.images.ownBytes(image.id),
      usedBy: store.roots.ownersOf(image.id),
      isPinned: isPinned(image),
    }))
    .sort((a, b) => b.image.bytes - a.image.bytes);
}
