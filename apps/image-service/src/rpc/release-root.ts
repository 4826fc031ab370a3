import type { ServiceImpl } from '@gantry/bus';
import type { RootFilesystems } from '@gantry/proto';
import type { RootFilesystemStore } from '../images/root-filesystems.ts';

interface Deps {
  readonly rootfs: Pick<RootFilesystemStore, 'release'>;
}

/** Removes the directories of one owner, which has unmounted them; unknown owners are a success. */
export function releaseRoot({ rootfs }: Deps): ServiceImpl<typeof RootFilesystems>['releaseRoot'] {
  return async ({ ownerId }) => {
    await rootfs.release(ownerId);
    return {};
  };
}
