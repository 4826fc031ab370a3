import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { mountOverlay, unmount } from '@gantry/host';
import type { Digest } from '@gantry/oci';
import { dumpTree } from './dump-tree.ts';
import type { TestService } from './test-images.ts';

/** What a container would see of a chain of layers, whichever store keeps them. */
export async function showChain(
  { images, directory }: Pick<TestService, 'images' | 'directory'>,
  diffIds: readonly Digest[],
): Promise<Record<string, string>> {
  const lowerDirs = await images.store.layerStore.lowerOf(diffIds);
  const [only, ...others] = lowerDirs;
  if (only !== undefined && others.length === 0) {
    return dumpTree(only);
  }
  const target = join(directory, 'shown');
  mkdirSync(target, { recursive: true });
  await mountOverlay({ lowerDirs, target });
  try {
    return dumpTree(target);
  } finally {
    await unmount(target);
  }
}

/** Where the store of a service keeps its layers, one directory a diff id. */
export function layersDirectory({ images, directory }: TestService): string {
  const { name } = images.store.layerStore;
  return join(directory, 'root/images', name === 'erofs' ? 'erofs/layers' : 'layers');
}
