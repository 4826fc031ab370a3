import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { mountInfo } from '@gantry/host';
import { hostFigures } from './figures.ts';
import { type LayerUsage, WritableLayers } from './writable-layers.ts';

const usage = (bytes: bigint): LayerUsage => ({ bytes, inodes: 1n, mountPoint: '/' });
const never = new Promise(() => undefined);

test('a layer is walked once for all who ask within ten seconds', async () => {
  let walks = 0;
  const layers = new WritableLayers(
    () => Promise.resolve(usage(BigInt(++walks))),
    () => 5n,
  );
  const answers = await Promise.all([layers.usageOf('/a', never), layers.usageOf('/a', never)]);
  answers.push(await layers.usageOf('/a', never), await layers.usageOf('/b', never));
  assert.deepEqual(
    answers.map((a) => a?.bytes),
    [1n, 1n, 1n, 2n],
  );
  assert.equal(answers[0]?.atNanos, 5n);
});

test('who has no patience for a long walk gets nothing, and later its result', async () => {
  const walk = Promise.withResolvers<LayerUsage>();
  const layers = new WritableLayers(
    () => walk.promise,
    () => 5n,
  );
  assert.equal(await layers.usageOf('/a', Promise.resolve()), undefined);
  walk.resolve(usage(7n));
  assert.equal((await layers.usageOf('/a', never))?.bytes, 7n);
});

test('a layer that is gone, or can not be read, has no figure', async () => {
  const gone = new WritableLayers(
    () => Promise.resolve(undefined),
    () => 5n,
  );
  const broken = new WritableLayers(
    () => Promise.reject(new Error('EIO')),
    () => 5n,
  );
  assert.equal(await gone.usageOf('/a', never), undefined);
  assert.equal(await broken.usageOf('/a', never), undefined);
});

test('a real directory is counted, and its mount point is one', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-layer-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await writeFile(join(dir, 'data'), Buffer.alloc(100_000));
  const figures = hostFigures({ readInNetns: () => Promise.resolve(undefined) });
  const layer = await figures.writableLayer(dir);
  assert.ok(layer !== undefined && layer.bytes >= 100_000n && layer.bytes < 200_000n);
  assert.equal(layer.inodes, 2n);
  const mounts = (await mountInfo()).map(({ mountPoint }) => mountPoint);
  assert.ok(mounts.includes(layer.mountPoint), layer.mountPoint);
  assert.equal(await figures.writableLayer(join(dir, 'none')), undefined);
});
