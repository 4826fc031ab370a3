import { completeConfig } from '@gantry/config';
import { newRegistry } from '@gantry/telemetry';
import { openImages } from '../open-images.ts';

/*
 * A process of its own that a test may kill: pulls one image, layer by layer.
 * Arguments: directory, name of the image.
 */

const [, , directory = '', name = ''] = process.argv;
const config = completeConfig({
  root_dir: `${directory}/root`,
  state_dir: `${directory}/state`,
  images: { registry_config_path: '', max_concurrent_downloads: 1 },
});
const images = await openImages({
  config,
  log: { warn: () => undefined },
  metrics: newRegistry({ service: 'image', instance: 'once' }),
});
await images.puller.pull(name, { signal: new AbortController().signal });
await images[Symbol.asyncDispose]();
