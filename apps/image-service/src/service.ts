import { join } from 'node:path';
import { busHandlers } from '@gantry/bus';
import { ImageAdmin, ImageImport, ImageService, RootFilesystems } from '@gantry/proto';
import type { ServiceDefinition } from '@gantry/service-kit';
import { pinnedBy } from './images/pinned.ts';
import { importDirectory } from './import/import-directory.ts';
import { openImages } from './open-images.ts';
import { criImageOf } from './rpc/cri-image.ts';
import { exportImages } from './rpc/export-images.ts';
import { imageFsInfo } from './rpc/image-fs-info.ts';
import { imageStatus } from './rpc/image-status.ts';
import { imageUsage } from './rpc/image-usage.ts';
import { importImage } from './rpc/import-image.ts';
import { layerStore } from './rpc/layer-store.ts';
import { listImages } from './rpc/list-images.ts';
import { listPulls } from './rpc/list-pulls.ts';
import { listRoots } from './rpc/list-roots.ts';
import { prepareRoot } from './rpc/prepare-root.ts';
import { pruneImages } from './rpc/prune-images.ts';
import { pullImage } from './rpc/pull-image.ts';
import { releaseRoot } from './rpc/release-root.ts';
import { removeImage } from './rpc/remove-image.ts';
import { streamImages } from './rpc/stream-images.ts';

/** image-service: the CRI's ImageService, root file systems for sandbox-service, import for the command line. */
export const service: ServiceDefinition = {
  name: 'image',
  async start({ config, log, metrics, instance }) {
    const images = await openImages({ config, log, metrics, instance });
    const { store, puller, rootfs, board } = images;
    const isPinned = pinnedBy([config.pods.sandbox_image]);
    const criImage = criImageOf(isPinned);
    const lists = { images: store.images, content: store.content, criImage };
    const stopping = new AbortController();
    const directory = config.images.import_dir;
    const importing =
      directory === ''
        ? Promise.resolve()
        : importDirectory(
            {
              ...images,
              locks: store.locks,
              log,
              stateDirectory: join(config.state_dir, 'images'),
            },
            directory,
            stopping.signal,
          );

    return {
      handlers: new Map([
        ...busHandlers(ImageService, {
          pullImage: pullImage({ puller, log }),
          listImages: listImages(lists),
          streamImages: streamImages(lists),
          imageStatus: imageStatus(lists),
          removeImage: removeImage({ store, log }),
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
        ...busHandlers(ImageAdmin, {
          listPulls: listPulls({ board }),
          imageUsage: imageUsage({ ...images, isPinned }),
          pruneImages: pruneImages({ ...images, isPinned }),
          exportImages: exportImages({ store }),
          layerStore: layerStore({ wanted: config.images.layer_store, ...images.chosen }),
        }),
        ...busHandlers(ImageImport, { importImage: importImage(images) }),
      ]),
      [Symbol.asyncDispose]: async () => {
        stopping.abort();
        await importing;
        await images[Symbol.asyncDispose]();
      },
    };
  },
};
