import type { ServiceImpl } from '@gantry/bus';
import { kindOf, RuntimeError } from '@gantry/errors';
import { parseReference } from '@gantry/oci';
import type { AuthConfig, ImageService } from '@gantry/proto';
import type { Logger } from '@gantry/telemetry';
import type { ImagePuller } from '../images/pull-image.ts';
import type { Credentials } from '../ports.ts';
import { parseCredentials } from '../registry/parse-credentials.ts';
import { imageNameOf } from './image-name.ts';

interface Deps {
  readonly puller: Pick<ImagePuller, 'pull'>;
  readonly log: Pick<Logger, 'info'>;
}

/** Pulls an image; answers with its id, as a kubelet compares it with Image.id (CRI PullImageResponse). */
export function pullImage({ puller, log }: Deps): ServiceImpl<typeof ImageService>['pullImage'] {
  return async ({ image, auth }, { signal }) => {
    const name = imageNameOf(image, 'pull image');
    const credentials = credentialsOf(name, auth);
    const start = performance.now();
    const imageRef = await puller.pull(name, { credentials, signal });
    const ms = Math.round(performance.now() - start);
    log.info({ image: name, id: imageRef, ms }, 'the image is pulled');
    return { imageRef };
  };
}

function credentialsOf(name: string, auth: AuthConfig | undefined): Credentials | undefined {
  try {
    const { host } = parseReference(name);
    return auth === undefined ? undefined : parseCredentials(auth, host);
  } catch (cause) {
    throw new RuntimeError(kindOf(cause), 'pull image', { cause });
  }
}
