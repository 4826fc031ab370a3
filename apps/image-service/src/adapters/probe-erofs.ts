import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { probeImage } from '@gantry/erofs';
import { openErofs } from '@gantry/host';
import type { TemporarySpace } from '../store/temporary-space.ts';

/**
 * Mounts a small image the way images are mounted, seen by nobody else, and
 * reads a file of it. Throws what the kernel or the file system below
 * `temporary` says against it.
 */
export async function probeErofs(temporary: TemporarySpace): Promise<void> {
  const { image, device, content } = probeImage();
  await using directory = await temporary.directory();
  const source = join(directory.path, 'image');
  const data = join(directory.path, 'device');
  await writeFile(source, image);
  await writeFile(data, device);
  using mounted = openErofs({ source, devices: [data] });
  const read = await readFile(join(mounted.path, 'probe'), 'utf8');
  if (read !== content) {
    throw new Error(`a mounted image shows ${JSON.stringify(read.slice(0, 40))}`);
  }
}
