import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '@gantry/config';
import { probeImage } from '@gantry/erofs';
import { messageOf } from '@gantry/errors';
import { openErofs } from '@gantry/host';
import { ImageAdmin } from '@gantry/proto';
import { dial } from '@gantry/rpc';
import { type Finding, fail, ok, warn } from './finding.ts';

const check = 'layer store';
const answerLimitMs = 5000;

/** How layers of images are kept, or will be, and why so. */
export interface LayerStoreState {
  readonly name: string;
  readonly wanted: string;
  /** What the probe said against EROFS; empty where nothing, or where it was not asked. */
  readonly objection: string;
}

/** What image-service says; before it runs, what it would find. */
export async function checkLayerStore(config: Config): Promise<Finding> {
  const running = await askService(config);
  if (running !== undefined) {
    return layerStoreFinding(running, 'in use');
  }
  const wanted = config.images.layer_store;
  if (wanted === 'directories') {
    return layerStoreFinding({ name: wanted, wanted, objection: '' }, 'will be used');
  }
  if (process.getuid?.() !== 0) {
    return warn(check, 'not tried', 'run it with sudo');
  }
  const objection = await probe(config);
  const name = objection === '' || wanted === 'erofs' ? 'erofs' : 'directories';
  return layerStoreFinding({ name, wanted, objection }, 'will be used');
}

export function layerStoreFinding(
  { name, wanted, objection }: LayerStoreState,
  when: string,
): Finding {
  if (wanted === 'erofs' && objection !== '') {
    return fail(
      check,
      `layer_store = "erofs" can not be had: ${objection}`,
      'it needs Linux 6.12 and a root_dir on a disk; or set images.layer_store = "auto"',
    );
  }
  if (objection !== '') {
    return warn(
      check,
      `${name} ${when} (layer_store = "${wanted}"): EROFS can not be mounted here: ${objection}`,
      'pulls take about twice as long: EROFS needs Linux 6.12 and a root_dir on a disk, such as ext4',
    );
  }
  const why = name === 'erofs' ? 'a probe has mounted an image' : 'as the config says';
  return ok(check, `${name} ${when} (layer_store = "${wanted}"): ${why}`);
}

async function askService(config: Config): Promise<LayerStoreState | undefined> {
  using connection = dial(config.grpc.socket);
  try {
    const deadlineMs = Date.now() + answerLimitMs;
    return await connection.client(ImageAdmin).layerStore({}, { deadlineMs });
  } catch {
    // Whether the stack should answer is another check's affair.
    return undefined;
  }
}

/** Mounts a small image from a file of root_dir, as image-service does at its start; empty when that works. */
async function probe(config: Config): Promise<string> {
  const { image, device, content } = probeImage();
  let directory: string | undefined;
  try {
    await mkdir(config.root_dir, { recursive: true, mode: 0o711 });
    directory = await mkdtemp(join(config.root_dir, 'doctor-'));
    const [source, data] = [join(directory, 'image'), join(directory, 'device')];
    await writeFile(source, image);
    await writeFile(data, device);
    using mounted = openErofs({ source, devices: [data] });
    const read = await readFile(join(mounted.path, 'probe'), 'utf8');
    return read === content ? '' : 'a mounted image shows other content';
  } catch (error) {
    return messageOf(error);
  } finally {
    if (directory !== undefined) {
      await rm(directory, { recursive: true, force: true });
    }
  }
}
