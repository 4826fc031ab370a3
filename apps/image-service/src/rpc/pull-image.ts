import type { ServiceImpl } from '@gantry/bus';
import { RuntimeError } from '@gantry/errors';
import { parseReference } from '@gantry/oci';
import type { ImageService } from '@gantry/proto';
import type { Logger } from '@gantry/telemetry';
import type { ImagePuller } from '../images/pull-image.ts';
import { parseCredentials } from '../registry/parse-credentials.ts';

interface Deps {
  readonly puller: Pick<ImagePuller, 'pull'>;
  readonly log: Pick<Logger, 'info'>;
}

/** Pulls an image; answers with its id, as a kubelet compares it with Image.id (CRI PullImageResponse). */
export function pullImage({ puller, log }: Deps): ServiceImpl<typeof ImageService>['pullImage'] {
  return async ({ image, auth }, { signal }) => {
    if (image === undefined || image.image === '') {
      throw new RuntimeError('invalid-argument', 'pull image: no name given');
    }
    const { host } = parseReference(image.image);
    const credentials = auth === undefined ? undefined : parseCredentials(auth, host);
    const start = performance.now();
    const imageRef = await puller.pull(image.image, { credentials, signal });
    const ms = Math.round(performance.now() - start);
    log.info({ image: image.image, id: imageRef, ms }, 'the image is pulled');
    return { imageRef };
  };
}
