import { completeConfig } from '@gantry/config';
import { newRegistry } from '@gantry/telemetry';
import { removeImage } from '../images/remove-image.ts';
import { openImages } from '../open-images.ts';

/*
 * A process of its own that a test may kill: pulls one image, layer by layer, and
 * removes it again.
 * Arguments: directory, name of the image.
 */

const [, , directory = '', name = ''] = process.argv;
const config = completeConfig({
  root_dir: `${directory}/root`,
  state_dir: `${directory}/state`,
  images: {
    registry_config_path: `${directory}/certs.d`,
    max_concurrent_downloads: 1,
    layer_store: process.env['GANTRY_TEST_LAYER_STORE'] ?? 'auto',
    ...(JSON.parse(process.env['GANTRY_TEST_IMAGES'] ?? '{}') as object),
  },
});
const images = await openImages({
  config,
  log: { warn: () => undefined },
  metrics: newRegistry({ service: 'image', instance: 'once' }),
});
const id = await images.puller.pull(name, { signal: new AbortController().signal });
await removeImage(images.store, id);
await images[Symbol.asyncDispose]();
