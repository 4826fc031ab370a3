import { busHandlers } from '@gantry/bus';
import { ImageImport, ImageService, RootFilesystems } from '@gantry/proto';
import type { ServiceDefinition } from '@gantry/service-kit';
import { openImages } from './open-images.ts';
import { criImageOf } from './rpc/cri-image.ts';
import { imageFsInfo } from './rpc/image-fs-info.ts';
import { imageStatus } from './rpc/image-status.ts';
import { importImage } from './rpc/import-image.ts';
import { listImages } from './rpc/list-images.ts';
import { listRoots } from './rpc/list-roots.ts';
import { prepareRoot } from './rpc/prepare-root.ts';
import { pullImage } from './rpc/pull-image.ts';
import { releaseRoot } from './rpc/release-root.ts';
import { removeImage } from './rpc/remove-image.ts';
import { streamImages } from './rpc/stream-images.ts';

/** image-service: the CRI's ImageService, root file systems for sandbox-service, import for the command line. */
export const service: ServiceDefinition = {
  name: 'image',
  async start({ config, log, metrics }) {
    const images = await openImages({ config, log, metrics });
    const { store, puller, rootfs } = images;
    const criImage = criImageOf([config.pods.sandbox_image]);
    const lists = { images: store.images, content: store.content, criImage };

    return {
      handlers: new Map([
        ...busHandlers(ImageService, {
          pullImage: pullImage({ puller }),
          listImages: listImages(lists),
          streamImages: streamImages(lists),
          imageStatus: imageStatus(lists),
          removeImage: removeImage({ store }),
          imageFsInfo: imageFsInfo({
            mountpoint: images.directory,
            imageUsage: () => images.imageUsage(),
            rootUsage: () => images.rootUsage(),
            clock: store.clock,
          }),
        }),
        ...busHandlers(RootFilesystems, {
          prepareRoot: prepareRoot({ rootfs }),
          releaseRoot: releaseRoot({ rootfs }),
          listRoots: listRoots({ rootfs }),
        }),
        ...busHandlers(ImageImport, { importImage: importImage(images) }),
      ]),
      [Symbol.asyncDispose]: () => images[Symbol.asyncDispose](),
    };
  },
};
