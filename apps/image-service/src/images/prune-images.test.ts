import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { makeImage } from '../testing/test-image.ts';
import { signal, startImages } from '../testing/test-images.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';
import { imageUsage } from './image-usage.ts';
import { pinnedBy } from './pinned.ts';
import { pruneImages } from './prune-images.ts';

const skip = cannotRun;
const base = [{ path: 'base', data: randomBytes(300_000) }];
const imageOf = (name: string, bytes: number) =>
  makeImage({ layers: [base, [{ path: name, data: randomBytes(bytes) }]] });
const all = {
  used: imageOf('used', 100_000),
  idle: imageOf('idle', 400_000),
  pause: imageOf('pause', 50_000),
};

async function start(t: TestContext) {
  const registry = await startRegistry(t);
  const service = await startImages(t);
  for (const [name, image] of Object.entries(all)) {
    await registry.push(image, name, 'v1');
    await service.images.puller.pull(`${registry.host}/${name}:v1`, { signal });
  }
  await service.images.rootfs.prepare('c1', `${registry.host}/used:v1`, {
    pullIfMissing: false,
    signal,
  });
  const { store } = service.images;
  return { ...service, store, isPinned: pinnedBy([`${registry.host}/pause:v1`]) };
}

test('usage tells what each image has for itself, who uses it and what is pinned', {
  skip,
}, async (t) => {
  const { store, isPinned } = await start(t);
  const usage = imageUsage(store, isPinned);
  assert.deepEqual(
    usage.map((u) => [u.image.id, u.usedBy, u.isPinned]),
    [
      [all.idle.id, [], false],
      [all.used.id, ['c1'], false],
      [all.pause.id, [], true],
    ],
  );
  for (const [index, least] of [400_000, 100_000, 50_000].entries()) {
    const own = usage[index]?.ownBytes ?? 0;
    assert.ok(own >= least && own < least + 50_000, `${own} of its own, where ${least} are random`);
    // The base is shared by all.
    assert.ok((usage[index]?.image.bytes ?? 0) >= own + 300_000);
  }
});

test('prune removes what nobody uses and is not pinned, and tells what that freed', {
  skip,
}, async (t) => {
  const { store, isPinned, images } = await start(t);
  const deps = { store, isPinned, isPulling: () => Promise.resolve(false) };
  const ids = () => store.images.list().map(({ id }) => id);

  const dry = await pruneImages(deps, { isDryRun: true, signal });
  assert.deepEqual(
    dry.removed.map(({ image }) => image.id),
    [all.idle.id],
  );
  assert.equal(ids().length, 3);

  const before = (await images.imageUsage()).bytes;
  const { removed, freedBytes } = await pruneImages(deps, { isDryRun: false, signal });
  assert.deepEqual(
    removed.map(({ image }) => image.id),
    [all.idle.id],
  );
  assert.deepEqual(ids().sort(), [all.used.id, all.pause.id].sort());
  assert.equal(freedBytes, before - (await images.imageUsage()).bytes);
  assert.ok(freedBytes >= 400_000);
});

test('what a failed pull left is pruned, but not while another pull runs', { skip }, async (t) => {
  const { store, isPinned, remains } = await start(t);
  store.images.remove(all.idle.id);
  const count = async () => (await remains()).layers.length;
  const before = await count();
  const prune = (isPulling: boolean) =>
    pruneImages(
      { store, isPinned, isPulling: () => Promise.resolve(isPulling) },
      { isDryRun: false, signal },
    );
  await prune(true);
  assert.equal(await count(), before);
  await prune(false);
  assert.equal(await count(), before - 1);
});
