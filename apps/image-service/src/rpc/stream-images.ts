import type { ServiceImpl } from '@gantry/bus';
import type { ImageService } from '@gantry/proto';
import type { ImageRecords } from '../store/image-records.ts';
import type { CriImageOf } from './cri-image.ts';
import { selectImages } from './list-images.ts';

interface Deps {
  readonly images: Pick<ImageRecords, 'find' | 'list'>;
  readonly criImage: CriImageOf;
}

const imagesPerMessage = 100;

/** Lists images in messages of a bounded size; no images, no message (KEP-5825). */
export function streamImages({
  images,
  criImage,
}: Deps): ServiceImpl<typeof ImageService>['streamImages'] {
  return async function* ({ filter }) {
    const selected = selectImages(images, filter);
    for (let at = 0; at < selected.length; at += imagesPerMessage) {
      yield { images: selected.slice(at, at + imagesPerMessage).map(criImage) };
    }
  };
}
