import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '@gantry/config';
import { buildPauseImage, pauseImageName } from '@gantry/debian-image';
import { ImageImport, ImageService } from '@gantry/proto';
import { dial } from '@gantry/rpc';

export interface ImageOptions {
  readonly note: (text: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Makes and imports the pause image when the config asks for ours and the node does not have it. An
 * image of another name is pulled by the first pod.
 */
export async function ensureSandboxImage(config: Config, options: ImageOptions): Promise<void> {
  if (config.pods.sandbox_image !== pauseImageName) {
    return;
  }
  using connection = dial(config.grpc.socket);
  const images = connection.client(ImageService);
  const { image } = await images.imageStatus({ image: { image: pauseImageName } }, options);
  if (image !== undefined) {
    return;
  }
  options.note(`making the sandbox image ${pauseImageName}`);
  const dir = await mkdtemp(join(config.state_dir, 'image-'));
  try {
    const built = await buildPauseImage(dir);
    const importer = connection.client(ImageImport);
    await importer.importImage({ path: built.layoutDir }, { signal: options.signal });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
