import type { ServiceImpl } from '@gantry/bus';
import type { RootFilesystems } from '@gantry/proto';
import type { RootFilesystemStore } from '../images/root-filesystems.ts';

interface Deps {
  readonly rootfs: Pick<RootFilesystemStore, 'list'>;
}

/** Every owner that holds a root, oldest first. */
export function listRoots({ rootfs }: Deps): ServiceImpl<typeof RootFilesystems>['listRoots'] {
  return () => Promise.resolve({ ownerIds: [...rootfs.list()] });
}
