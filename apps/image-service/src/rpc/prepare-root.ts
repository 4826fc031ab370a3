import type { ServiceImpl } from '@gantry/bus';
import type { RootFilesystems } from '@gantry/proto';
import type { RootFilesystemStore } from '../images/root-filesystems.ts';

interface Deps {
  readonly rootfs: Pick<RootFilesystemStore, 'prepare'>;
}

/** Sets up the directories of one container's root; the caller mounts them. */
export function prepareRoot({ rootfs }: Deps): ServiceImpl<typeof RootFilesystems>['prepareRoot'] {
  return async ({ ownerId, image, ...options }, { signal }) => {
    const root = await rootfs.prepare(ownerId, image, { ...options, signal });
    const { id, repoTags, repoDigests } = root.record.image;
    return {
      image: {
        id,
        repoTags: [...repoTags],
        repoDigests: [...repoDigests],
        configJson: new Uint8Array(root.record.config),
      },
      lowerDirs: [...root.lowerDirs],
      upperDir: root.upperDir,
      workDir: root.workDir,
    };
  };
}
