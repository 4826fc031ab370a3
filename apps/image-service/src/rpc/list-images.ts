import type { ServiceImpl } from '@gantry/bus';
import type { ImageFilter, ImageService } from '@gantry/proto';
import type { ImageRecord, ImageRecords } from '../store/image-records.ts';
import type { CriImageOf } from './cri-image.ts';

interface Deps {
  readonly images: Pick<ImageRecords, 'find' | 'list'>;
  readonly criImage: CriImageOf;
}

/** Lists images; a filter that names an unknown one gives an empty list. */
export function listImages({
  images,
  criImage,
}: Deps): ServiceImpl<typeof ImageService>['listImages'] {
  return ({ filter }) => Promise.resolve({ images: selectImages(images, filter).map(criImage) });
}

/** The images that a filter asks for; all without one. */
export function selectImages(images: Deps['images'], filter?: ImageFilter): ImageRecord[] {
  const name = filter?.image?.image ?? '';
  if (name === '') {
    return images.list();
  }
  const found = images.find(name);
  return found === undefined ? [] : [found];
}
