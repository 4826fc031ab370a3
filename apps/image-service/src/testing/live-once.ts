import { renameSync, writeFileSync } from 'node:fs';
import { completeConfig } from '@gantry/config';
import { newRegistry } from '@gantry/telemetry';
import { removeImage } from '../images/remove-image.ts';
import { openImages } from '../open-images.ts';

/*
 * A process of its own whose power a test may cut: pulls an image, imports
 * another, pulls the next version of the first, and removes what the tag stood
 * for before. It stops itself after each of them, until it is told to go on.
 * Arguments: directory, reference without its tag, archive.
 */

const [, , directory = '', repository = '', archive = ''] = process.argv;
const { signal } = new AbortController();
const images = await openImages({
  config: completeConfig({
    root_dir: `${directory}/root`,
    state_dir: `${directory}/state`,
    images: {
      registry_config_path: `${directory}/certs.d`,
      layer_store: process.env['GANTRY_TEST_LAYER_STORE'] ?? 'auto',
      resume_min_bytes: 1,
      keep_compressed_layers: true,
    },
  }),
  log: { warn: () => undefined },
  metrics: newRegistry({ service: 'image', instance: 'once' }),
});
let steps = 0;
const done = (): void => {
  steps += 1;
  // Beside the disk, where it is to be read whatever becomes of that; never empty, for it may be stopped right here.
  writeFileSync(`${directory}/steps.new`, String(steps));
  renameSync(`${directory}/steps.new`, `${directory}/steps`);
  process.kill(process.pid, 'SIGSTOP');
};
const first = await images.puller.pull(`${repository}:v1`, { signal });
done();
await images.importImages({ path: archive }, 'localhost/imported:1', signal);
done();
await images.puller.pull(`${repository}:v2`, { signal });
done();
await removeImage(images.store, first);
done();
await images[Symbol.asyncDispose]();
