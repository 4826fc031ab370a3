import type { ServiceImpl } from '@gantry/bus';
import type { ImageService } from '@gantry/proto';
import type { Clock, DiskUsage } from '../ports.ts';

interface Deps {
  /** Where all of it lies. */
  readonly mountpoint: string;
  readonly imageUsage: () => Promise<DiskUsage>;
  readonly rootUsage: () => Promise<DiskUsage>;
  readonly clock: Clock;
}

/** What images and writable layers take on disk: a kubelet evicts by it. */
export function imageFsInfo(deps: Deps): ServiceImpl<typeof ImageService>['imageFsInfo'] {
  const usageOf = ({ bytes, inodes }: DiskUsage) => ({
    timestamp: BigInt(deps.clock()) * 1_000_000n,
    fsId: { mountpoint: deps.mountpoint },
    usedBytes: { value: BigInt(bytes) },
    inodesUsed: { value: BigInt(inodes) },
  });

  return async () => {
    const [images, roots] = await Promise.all([deps.imageUsage(), deps.rootUsage()]);
    return { imageFilesystems: [usageOf(images)], containerFilesystems: [usageOf(roots)] };
  };
}
