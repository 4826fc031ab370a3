import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { buildImage } from './build-image.ts';
import { type ImageFile, writeTar } from './layer-tar.ts';
import { packLayout } from './pack-layout.ts';

async function workDir(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'image-'));
  t.after(() => rm(dir, { recursive: true }));
  return dir;
}

async function readJson<T>(...path: string[]): Promise<T> {
  return JSON.parse(await readFile(join(...path), 'utf8')) as T;
}

interface Index {
  manifests: { digest: string; annotations: Record<string, string> }[];
}
interface Manifest {
  config: { digest: string };
  layers: { digest: string; mediaType: string; size: number }[];
}
const blobPath = (dir: string, digest: string): string =>
  join(dir, 'blobs', digest.replace(':', '/'));
const hello: ImageFile = { type: 'file', path: 'hello', content: 'hi\n' };

test('every blob lies under its own digest, and diff ids are of the plain tar', async (t) => {
  const outDir = await workDir(t);
  const image = await buildImage({
    outDir,
    name: 'example.com/a/b:1',
    layers: [[hello], [{ type: 'file', path: '.wh.hello', content: '' }]],
    config: { Cmd: ['/hello'] },
  });
  for (const name of await readdir(join(outDir, 'blobs/sha256'))) {
    const bytes = await readFile(join(outDir, 'blobs/sha256', name));
    assert.equal(createHash('sha256').update(bytes).digest('hex'), name);
  }
  const config = await readJson<{ rootfs: { diff_ids: string[] }; config: object }>(
    blobPath(outDir, image.id),
  );
  assert.deepEqual(config.config, { Cmd: ['/hello'] });
  const plain = gunzipSync(await readFile(blobPath(outDir, image.layerDigests[0] ?? '')));
  assert.deepEqual(plain, writeTar([hello]));
  assert.equal(
    config.rootfs.diff_ids[0],
    `sha256:${createHash('sha256').update(plain).digest('hex')}`,
  );
  assert.equal(config.rootfs.diff_ids.length, 2);
});

test('the same request gives the same ids in another place', async (t) => {
  const request = { name: 'a:1', layers: [[hello]] };
  const one = await buildImage({ ...request, outDir: await workDir(t) });
  const two = await buildImage({ ...request, outDir: await workDir(t) });
  assert.equal(one.manifestDigest, two.manifestDigest);
});

test('a layout holds several images, and a name stands for the last one', async (t) => {
  const outDir = await workDir(t);
  await buildImage({ outDir, name: 'a:1', layers: [[hello]] });
  await buildImage({ outDir, name: 'b:1', layers: [[hello]] });
  const last = await buildImage({ outDir, name: 'a:1', layers: [] });
  const { manifests } = await readJson<Index>(outDir, 'index.json');
  const names = manifests.map((m) => m.annotations['org.opencontainers.image.ref.name']);
  assert.deepEqual(names, ['b:1', 'a:1']);
  assert.equal(manifests[1]?.digest, last.manifestDigest);
});

test('layers may be zstd, plain, or a tar made elsewhere', async (t) => {
  const outDir = await workDir(t);
  const raw = Buffer.from('not even a tar');
  for (const [compression, read] of [
    ['zstd', zstdDecompressSync],
    ['none', (b: Buffer) => b],
  ] as const) {
    const image = await buildImage({ outDir, name: compression, layers: [raw], compression });
    const manifest = await readJson<Manifest>(blobPath(outDir, image.manifestDigest));
    const layer = manifest.layers[0];
    assert.ok(layer);
    assert.ok(layer.mediaType.endsWith(compression === 'zstd' ? 'tar+zstd' : '.tar'));
    const stored = await readFile(blobPath(outDir, layer.digest));
    assert.equal(stored.length, layer.size);
    assert.deepEqual(read(stored), raw);
  }
});

test('a packed layout is a tar of its files, the same each time', async (t) => {
  const dir = await workDir(t);
  await buildImage({ outDir: join(dir, 'l'), name: 'a:1', layers: [[hello]] });
  await packLayout(join(dir, 'l'), join(dir, '1.tar'));
  await packLayout(join(dir, 'l'), join(dir, '2.tar'));
  const bytes = await readFile(join(dir, '1.tar'));
  assert.deepEqual(bytes, await readFile(join(dir, '2.tar')));
  assert.ok(bytes.includes('imageLayoutVersion'));
});

test('a name that no tool could ask for is refused', async (t) => {
  const outDir = await workDir(t);
  await assert.rejects(buildImage({ outDir, name: 'a b', layers: [] }), {
    kind: 'invalid-argument',
  });
});
