import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeImage } from '../testing/test-image.ts';
import { signal, startImages } from '../testing/test-images.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';
import { removeImage } from './remove-image.ts';

const skip = cannotRun;
const image = makeImage({ layers: [[{ path: 'file', data: Buffer.from('content') }]] });

async function pulled(t: TestContext) {
  const registry = await startRegistry(t);
  await registry.push(image, 'vol', 'v1');
  const service = await startImages(t);
  const name = `${registry.host}/vol:v1`;
  await service.images.puller.pull(name, { signal });
  return { ...service, name };
}

test('a root that nobody writes to has no directories, and keeps its layers', {
  skip,
}, async (t) => {
  const { images, directory, name } = await pulled(t);
  const owner = `${'a'.repeat(64)}.0`;
  const root = await images.rootfs.prepare(owner, name, {
    pullIfMissing: false,
    readOnly: true,
    signal,
  });
  assert.deepEqual([root.upperDir, root.workDir], ['', '']);
  assert.equal(existsSync(join(directory, 'root/images/roots', owner)), false);
  await removeImage(images.store, image.id);
  const file = join(root.lowerDirs[0] ?? '', 'file');
  assert.equal(await readFile(file, 'utf8'), 'content');
  assert.deepEqual(images.rootfs.list(), [owner]);
  await images.rootfs.release(owner);
  assert.deepEqual([images.rootfs.list(), existsSync(file)], [[], false]);
});

for (const { hostId, containerId, owner } of [
  { hostId: 200_000, containerId: 0, owner: 200_000 },
  // The image's root is not in it: the namespace's first id stands in.
  { hostId: 300_000, containerId: 5, owner: 300_000 },
]) {
  test(`the upper directory belongs to ${owner} when ids from ${containerId} are those from ${hostId}`, {
    skip: skip || (process.getuid?.() !== 0 && 'needs root'),
  }, async (t) => {
    const { images, name } = await pulled(t);
    const ranges = [{ hostId, containerId, length: 65_536 }];
    const { upperDir } = await images.rootfs.prepare('c1', name, {
      pullIfMissing: false,
      uidMappings: ranges,
      gidMappings: ranges,
      signal,
    });
    const { uid, gid } = statSync(upperDir);
    assert.deepEqual([uid, gid], [owner, owner]);
  });
}
