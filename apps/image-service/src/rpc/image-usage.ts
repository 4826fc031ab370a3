import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@gantry/bus';
import type { ImageAdmin, UsageOfImageSchema } from '@gantry/proto';
import type { ImageStore } from '../images/image-store.ts';
import { type UsageOfImage, imageUsage as usageOfImages } from '../images/image-usage.ts';
import type { IsPinned } from '../images/pinned.ts';
import type { DiskUsage } from '../ports.ts';

interface Deps {
  readonly store: ImageStore;
  readonly isPinned: IsPinned;
  readonly imageUsage: () => Promise<DiskUsage>;
  readonly rootUsage: () => Promise<DiskUsage>;
}

/** What every image takes, and what its removal would free. */
export function imageUsage(deps: Deps): ServiceImpl<typeof ImageAdmin>['imageUsage'] {
  const { store, isPinned } = deps;
  return async () => {
    const [total, roots] = await Promise.all([deps.imageUsage(), deps.rootUsage()]);
    return {
      images: usageOfImages(store, isPinned).map(usageMessage),
      unreferencedBytes: BigInt(store.layers.unreferencedBytes()),
      rootBytes: BigInt(roots.bytes),
      totalBytes: BigInt(total.bytes),
    };
  };
}

export function usageMessage({
  image,
  ownBytes,
  usedBy,
  isPinned,
}: UsageOfImage): MessageInitShape<typeof UsageOfImageSchema> {
  return {
    id: image.id,
    repoTags: [...image.repoTags],
    bytes: BigInt(image.bytes),
    ownBytes: BigInt(ownBytes),
    usedBy: [...usedBy],
    pinned: isPinned,
  };
}
