import { completeConfig } from '@gantry/config';
import { newRegistry } from '@gantry/telemetry';
import { openImages } from '../open-images.ts';

/*
 * A process of its own that a test may kill: pulls one image, prepares a root
 * of it and releases that again.
 * Arguments: directory, name of the image.
 */

const [, , directory = '', name = ''] = process.argv;
const { signal } = new AbortController();
const images = await openImages({
  config: completeConfig({
    root_dir: `${directory}/root`,
    state_dir: `${directory}/state`,
    images: { registry_config_path: `${directory}/certs.d`, layer_store: 'erofs' },
  }),
  log: { warn: () => undefined },
  metrics: newRegistry({ service: 'image', instance: 'once' }),
});
await images.puller.pull(name, { signal });
await images.rootfs.prepare('once', name, { pullIfMissing: false, signal });
await images.rootfs.release('once');
await images[Symbol.asyncDispose]();
