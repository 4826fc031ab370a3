import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { mountOverlay, unmount } from '@gantry/host';
import { treeUsage } from '../layers/tree-usage.ts';
import { layersDirectory } from '../testing/show-chain.ts';
import { makeImage } from '../testing/test-image.ts';
import { signal, startImages } from '../testing/test-images.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';
import { removeImage } from './remove-image.ts';

const skip = cannotRun;
const base = [{ path: 'base', data: randomBytes(300_000) }];
const one = makeImage({ layers: [base, [{ path: 'one', data: randomBytes(400_000) }]] });
const two = makeImage({ layers: [base, [{ path: 'two', data: randomBytes(500_000) }]] });

async function startWithBoth(t: TestContext) {
  const registry = await startRegistry(t);
  await registry.push(one, 'one', 'v1');
  await registry.push(one, 'one', 'v2');
  await registry.push(two, 'two', 'v1');
  const service = await startImages(t);
  for (const name of ['one:v1', 'one:v2', 'two:v1']) {
    await service.images.puller.pull(`${registry.host}/${name}`, { signal });
  }
  return { ...service, host: registry.host };
}

test('removal takes all names and frees what no other image needs', { skip }, async (t) => {
  const service = await startWithBoth(t);
  const { images, remains } = service;
  const layers = layersDirectory(service);
  const before = await images.imageUsage();
  assert.ok(before.bytes > 1_200_000);

  await removeImage(images.store, one.id);

  assert.deepEqual(
    images.store.images.list().map(({ id }) => id),
    [two.id],
  );
  const names = two.diffIds.map((diffId) => diffId.replace(':', '-')).sort();
  assert.deepEqual(await remains(), {
    temporary: [],
    layers: names,
    blobs: [two.id, two.manifestDigest].map((digest) => digest.slice(7)).sort(),
  });
  const after = await images.imageUsage();
  assert.ok(before.bytes - after.bytes >= 400_000, `${before.bytes} - ${after.bytes}`);
  const onDisk = names.map((name) => treeUsage(join(layers, name)));
  assert.equal(
    images.store.layers.usage().bytes,
    onDisk.reduce((sum, u) => sum + u.bytes, 0),
  );
  assert.equal(
    images.store.layers.usage().inodes,
    onDisk.reduce((sum, u) => sum + u.inodes, 0),
  );

  await removeImage(images.store, two.id);
  assert.deepEqual(await remains(), { temporary: [], layers: [], blobs: [] });
  assert.deepEqual(await images.imageUsage(), { bytes: 0, inodes: 0 });
  await removeImage(images.store, two.id);
});

test('a root keeps its layers when its image is removed, until it is released', {
  skip,
}, async (t) => {
  const { images, remains, host } = await startWithBoth(t);
  const options = { pullIfMissing: false, signal };
  const root = await images.rootfs.prepare('c1', `${host}/one:v1`, options);

  await removeImage(images.store, one.id);

  assert.equal((await remains()).layers.length, 3);
  assert.deepEqual(await images.rootfs.prepare('c1', `${host}/one:v1`, options), root);
  await assert.rejects(images.rootfs.prepare('c2', `${host}/one:v1`, options), {
    kind: 'not-found',
    message: /image ".*one:v1": not on this node/,
  });
  await images.rootfs.release('c1');
  await images.rootfs.release('c1');
  assert.equal((await remains()).layers.length, 2);
  assert.deepEqual(images.rootfs.list(), []);
  assert.equal(existsSync(root.upperDir), false);
});

test('a prepared root can be mounted, written and released', { skip }, async (t) => {
  const registry = await startRegistry(t);
  const layered = makeImage({
    layers: [
      [
        { path: './', type: 'directory', mode: 0o751 },
        { path: 'tmp/', type: 'directory', mode: 0o1777 },
        { path: 'gone', data: 'x' },
        { path: 'dir/', type: 'directory', uid: 7 },
        { path: 'dir/lower', data: 'x' },
      ],
      // No entries for tmp and dir: their attributes must come from below.
      [{ path: 'tmp/new', data: 'y' }, { path: '.wh.gone' }, { path: 'dir/.wh..wh..opq' }],
    ],
  });
  await registry.push(layered, 'app', 'v1');
  const { images, directory } = await startImages(t);
  const name = `${registry.host}/app:v1`;
  const root = await images.rootfs.prepare('pod-1', name, { pullIfMissing: true, signal });
  assert.deepEqual(images.rootfs.list(), ['pod-1']);
  // Directories: one more for the attributes of tmp and dir.
  assert.equal(root.lowerDirs.length, images.store.layerStore.name === 'erofs' ? 1 : 3);

  const target = join(directory, 'target');
  await mkdir(target);
  await mountOverlay({
    lowerDirs: [...root.lowerDirs],
    upperDir: root.upperDir,
    workDir: root.workDir,
    target,
  });
  assert.deepEqual((await readdir(target)).sort(), ['dir', 'tmp']);
  assert.equal(statSync(join(target, 'tmp')).mode & 0o7777, 0o1777);
  assert.equal(statSync(target).mode & 0o7777, 0o751);
  assert.equal(statSync(join(target, 'dir')).uid, 7);
  assert.deepEqual(await readdir(join(target, 'dir')), []);
  await unmount(target);
  await images.rootfs.release('pod-1');
  assert.deepEqual(await readdir(join(directory, 'root/images/roots')), []);
});

for (const owner of ['', '../x', 'a/b', '.', 'x'.repeat(200)]) {
  test(`"${owner.slice(0, 10)}" is no owner of a root`, { skip }, async (t) => {
    const { images } = await startImages(t);
    const options = { pullIfMissing: false, signal };
    await assert.rejects(images.rootfs.prepare(owner, 'x', options), { kind: 'invalid-argument' });
    await assert.rejects(images.rootfs.release(owner), { kind: 'invalid-argument' });
  });
}
