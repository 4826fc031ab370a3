import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buildBusyboxImage, buildPauseImage } from '@gantry/debian-image';

/** Makes the images that the tests run, as OCI layouts named `pause` and `busybox`, out of Debian's programs. */
export async function buildTestImages(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  await buildPauseImage(join(dir, 'pause'));
  await buildBusyboxImage(join(dir, 'busybox'));
}
