import { RuntimeError } from '@gantry/errors';
import { imageConfig } from './fake-specs.ts';
import type { PreparedRoot, RootFilesystems } from './ports.ts';

/** Root file systems of the images that there are; one that is mounted can't be released. */
export function fakeRoots(
  images: ReadonlySet<string>,
  roots: Set<string>,
  mounts: ReadonlyMap<string, unknown>,
): RootFilesystems {
  return {
    prepare: (ownerId, image): Promise<PreparedRoot> => {
      if (!images.has(image)) {
        throw new RuntimeError('not-found', `image "${image}": not found`);
      }
      roots.add(ownerId);
      return Promise.resolve({
        image: {
          id: `sha256:${'e'.repeat(64)}`,
          repoTags: [image],
          repoDigests: [],
          configJson: Buffer.from(imageConfig),
        },
        lowerDirs: ['/lower'],
        upperDir: '/upper',
        workDir: '/work',
      });
    },
    release: (ownerId) => {
      if ([...mounts.keys()].some((path) => path.includes(`${ownerId}/rootfs`))) {
        throw new RuntimeError('failed-precondition', `release ${ownerId}: still mounted`);
      }
      roots.delete(ownerId);
      return Promise.resolve();
    },
    list: () => Promise.resolve([...roots]),
  };
}
