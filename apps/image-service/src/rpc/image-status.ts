import { createHash } from 'node:crypto';
import type { ServiceImpl } from '@gantry/bus';
import type { Digest } from '@gantry/oci';
import type { ImageService } from '@gantry/proto';
import type { ContentStore } from '../store/content-store.ts';
import type { ImageRecord, ImageRecords } from '../store/image-records.ts';
import type { CriImageOf } from './cri-image.ts';
import { imageNameOf } from './image-name.ts';

interface Deps {
  readonly images: Pick<ImageRecords, 'find' | 'layersOf'>;
  readonly content: Pick<ContentStore, 'read'>;
  readonly criImage: CriImageOf;
}

/** What is known of one image; none is no error (CRI ImageStatus). */
export function imageStatus(deps: Deps): ServiceImpl<typeof ImageService>['imageStatus'] {
  return async ({ image, verbose }) => {
    const found = deps.images.find(imageNameOf(image, 'image status'));
    if (found === undefined) {
      return {};
    }
    return {
      // The same by whatever name it was asked for: clients compare them.
      image: deps.criImage(found),
      ...(verbose ? { info: { info: await infoOf(deps, found) } } : {}),
    };
  };
}

/** As containerd has it: the chain of layers and the config, as JSON. */
async function infoOf({ images, content }: Deps, { id }: ImageRecord): Promise<string> {
  const config = await content.read(id);
  return JSON.stringify({
    chainID: chainIdOf(images.layersOf(id)),
    imageSpec: config === undefined ? null : (JSON.parse(config.toString('utf8')) as unknown),
  });
}

/** OCI image spec, config.md, "Layer ChainID". */
function chainIdOf(diffIds: readonly Digest[]): string {
  return diffIds.reduce((chain, diffId) => {
    if (chain === '') {
      return diffId;
    }
    return `sha256:${createHash('sha256').update(`${chain} ${diffId}`).digest('hex')}`;
  }, '');
}
