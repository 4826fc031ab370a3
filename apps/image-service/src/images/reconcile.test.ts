import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { mountTmpfs } from '@gantry/host';
import { openStore } from '@gantry/store';
import { LayerRecords } from '../store/layer-records.ts';
import { migrations } from '../store/migrations.ts';
import { layersDirectory } from '../testing/show-chain.ts';
import { makeImage } from '../testing/test-image.ts';
import { signal, startImages, temporaryDirectory } from '../testing/test-images.ts';
import { startProxy } from '../testing/test-proxy.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';
import { removeImage } from './remove-image.ts';

const skip = cannotRun;
const image = makeImage({
  layers: [[{ path: 'a', data: 'x'.repeat(5000) }], [{ path: 'b', data: 'y'.repeat(5000) }]],
});
const [first = '', second = ''] = image.diffIds.map((diffId) => diffId.replace(':', '-'));

test('a disk that fills up in mid-pull gives one clear error, and the service works on', {
  skip,
}, async (t) => {
  const registry = await startRegistry(t);
  const huge = makeImage({
    layers: [
      [{ path: 'fits', data: Buffer.alloc(1 << 20, 1) }],
      [{ path: 'dir/huge', data: Buffer.alloc(40 << 20, 2) }],
    ],
  });
  await registry.push(huge, 'huge', 'v1');
  await registry.push(image, 'small', 'v1');
  const directory = temporaryDirectory(t);
  await mountTmpfs({ target: directory, sizeBytes: 16 << 20, mode: 0o700 });
  // A tmpfs can't back EROFS.
  const { images, remains } = await startImages(t, {
    directory,
    images: { layer_store: 'directories' },
  });

  await assert.rejects(images.puller.pull(`${registry.host}/huge:v1`, { signal }), {
    kind: 'resource-exhausted',
    message: new RegExp(
      // Both layers are written at once: the one that would fit alone, or its record, may be first to find the disk full.
      `^pull image ${registry.host}/huge:v1: ((extract "(dir/huge|fits)"|write layer sha256:\\w+): ENOSPC|"INSERT INTO layers [^"]+" in \\S+): no space left`,
    ),
  });
  assert.deepEqual(await remains(), { temporary: [], layers: [], blobs: [] });
  assert.equal(await images.puller.pull(`${registry.host}/small:v1`, { signal }), image.id);
});

test('what a killed process leaves of a pull is gone at the next start, what is whole is kept', {
  skip,
}, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const held = String(image.layerDigests[1]);
  const stuck = Promise.withResolvers<void>();
  let hold = true;
  const proxy = await startProxy(t, registry.host, ({ path, response, forward }) =>
    forward(
      hold && path.includes(held)
        ? (answer) => {
            response.writeHead(200, answer.headers);
            response.write(Buffer.from([0x1f]));
            stuck.resolve();
          }
        : undefined,
    ),
  );
  const directory = temporaryDirectory(t);
  const program = fileURLToPath(new URL('../testing/pull-once.ts', import.meta.url));
  const child = spawn(process.execPath, [program, directory, `${proxy.host}/app:v1`], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await stuck.promise;
  {
    // Both come at once: the other may still be on its way.
    using store = openStore(join(directory, 'root/images/images.db'), { migrations });
    const records = new LayerRecords(store, Date.now);
    while (!image.diffIds.slice(0, 1).every((diffId) => records.has(diffId))) {
      await delay(5, undefined, { signal: t.signal });
    }
  }
  child.kill('SIGKILL');
  await once(child, 'exit');
  hold = false;

  const { images, remains, warnings } = await startImages(t, { directory });
  const { temporary, layers } = await remains();
  assert.deepEqual([temporary, layers], [[], [first]]);
  assert.deepEqual(images.store.images.list(), []);
  assert.deepEqual(warnings, []);
  const before = proxy.requests.length;
  assert.equal(await images.puller.pull(`${proxy.host}/app:v1`, { signal }), image.id);
  const again = proxy.requests
    .slice(before)
    .filter((r) => r.includes(String(image.layerDigests[0])));
  assert.deepEqual(again, []);
});

const steps: [point: string, layers: number, images: number, blobs: number][] = [
  ['image.layer-written', 0, 0, 0],
  ['image.layer-recorded', 1, 0, 0],
  ['image.layer-recorded:2', 2, 0, 0],
  ['image.blobs-written', 2, 0, 2],
  ['image.chain-prepared', 2, 0, 2],
  ['image.layers-synced', 2, 0, 2],
  ['image.committed', 2, 1, 2],
  ['image.unnamed', 0, 0, 2],
  ['image.layers-forgotten', 0, 0, 0],
];

for (const [point, layers, images, blobs] of steps) {
  test(`a process that dies at ${point} leaves only what is whole`, { skip }, async (t) => {
    const registry = await startRegistry(t);
    await registry.push(image, 'app', 'v1');
    const directory = temporaryDirectory(t);
    const faultFile = join(temporaryDirectory(t), 'fault');
    writeFileSync(faultFile, point);
    const program = fileURLToPath(new URL('../testing/pull-once.ts', import.meta.url));
    const child = spawn(process.execPath, [program, directory, `${registry.host}/app:v1`], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, GANTRY_FAULT_FILE: faultFile },
    });
    const [, killedBy] = (await once(child, 'exit')) as [number | null, string | null];
    assert.equal(killedBy, 'SIGKILL');

    const service = await startImages(t, { directory });
    const found = await service.remains();
    assert.deepEqual(
      [found.layers.length, service.images.store.images.list().length, found.blobs.length],
      [layers, images, blobs],
    );
    assert.deepEqual(found.temporary, []);
    const name = `${registry.host}/app:v1`;
    assert.equal(await service.images.puller.pull(name, { signal }), image.id);
    await removeImage(service.images.store, image.id);
    assert.deepEqual(await service.remains(), { temporary: [], layers: [], blobs: [] });
  });
}

test('rubbish without a record goes, and records of what is lost', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const directory = temporaryDirectory(t);
  const root = join(directory, 'root/images');
  const before = await startImages(t, { directory });
  await before.images.puller.pull(`${registry.host}/app:v1`, { signal });
  const stray = `sha256-${'a'.repeat(64)}`;
  mkdirSync(join(layersDirectory(before), stray, 'fs'), { recursive: true });
  mkdirSync(join(root, 'tmp/dead/half'), { recursive: true });
  mkdirSync(join(root, 'roots/nobody/upper'), { recursive: true });
  rmSync(join(layersDirectory(before), first), { recursive: true });

  const { images, remains, warnings } = await startImages(t, { directory });

  assert.deepEqual(images.store.images.list(), []);
  assert.deepEqual((await remains()).layers, [second]);
  assert.deepEqual((await remains()).temporary, []);
  assert.equal(warnings.length, 1);
  assert.throws(() => renameSync(join(root, 'roots/nobody'), join(root, 'x')), { code: 'ENOENT' });
  assert.equal(await images.puller.pull(`${registry.host}/app:v1`, { signal }), image.id);
});

test('a damaged config takes its image with it', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const directory = temporaryDirectory(t);
  const { images: before } = await startImages(t, { directory });
  await before.puller.pull(`${registry.host}/app:v1`, { signal });
  writeFileSync(join(directory, 'root/images/content/blobs/sha256', image.id.slice(7)), '{}');

  const { images, warnings } = await startImages(t, { directory });

  assert.deepEqual(images.store.images.list(), []);
  assert.equal(warnings.length, 1);
  assert.equal(await images.puller.pull(`${registry.host}/app:v1`, { signal }), image.id);
});

test('a layer that was not synced before a reboot is not trusted', { skip }, async (t) => {
  const directory = temporaryDirectory(t);
  const root = join(directory, 'root/images');
  mkdirSync(join(root, 'layers', first, 'fs'), { recursive: true });
  {
    using store = openStore(join(root, 'images.db'), { migrations });
    const [diffId] = image.diffIds;
    assert.ok(diffId);
    new LayerRecords(store, Date.now, 'an earlier boot').add(diffId, { bytes: 1, inodes: 1 });
  }
  const { remains } = await startImages(t, { directory });
  assert.deepEqual((await remains()).layers, []);
});
