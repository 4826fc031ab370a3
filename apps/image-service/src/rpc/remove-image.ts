import type { ServiceImpl } from '@gantry/bus';
import type { ImageService } from '@gantry/proto';
import type { Logger } from '@gantry/telemetry';
import type { ImageStore } from '../images/image-store.ts';
import { removeImage as remove } from '../images/remove-image.ts';
import { imageNameOf } from './image-name.ts';

interface Deps {
  readonly store: ImageStore;
  readonly log: Pick<Logger, 'info'>;
}

/** Removes an image by any of its names or its id, with all its names; unknown ones are a success. */
export function removeImage({ store, log }: Deps): ServiceImpl<typeof ImageService>['removeImage'] {
  return async ({ image }) => {
    const found = store.images.find(imageNameOf(image, 'remove image'));
    if (found !== undefined) {
      await remove(store, found.id);
      log.info({ id: found.id }, 'the image is removed');
    }
    return {};
  };
}
