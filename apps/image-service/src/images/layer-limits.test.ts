import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { mediaTypes } from '@gantry/oci';
// oxlint-disable-next-line no-restricted-imports -- the package's own entry for tests
import { tarOf } from '@gantry/tar/testing';
import { treeUsage } from '../layers/tree-usage.ts';
import { layersDirectory, showChain } from '../testing/show-chain.ts';
import { digestOfBytes, makeImage, type TestImage } from '../testing/test-image.ts';
import { signal, startImages } from '../testing/test-images.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';

const skip = cannotRun;
const zeros = Buffer.alloc(64 << 20);

const bombs: [name: string, image: TestImage, limits: object, why: RegExp][] = [
  [
    'of many bytes in gzip',
    makeImage({ layers: [[{ path: 'zeros', data: zeros }]], compression: 'gzip' }),
    { max_layer_bytes: 1 << 20 },
    /more than 1048576 bytes when uncompressed: the limit is images\.limits\.max_layer_bytes$/,
  ],
  [
    'of many bytes in zstd',
    makeImage({ layers: [[{ path: 'zeros', data: zeros }]], compression: 'zstd' }),
    { max_layer_bytes: 1 << 20 },
    /more than 1048576 bytes when uncompressed: the limit is images\.limits\.max_layer_bytes$/,
  ],
  [
    'of many entries',
    makeImage({ layers: [Array.from({ length: 1001 }, (_, i) => ({ path: `f${i}` }))] }),
    { max_layer_entries: 1000 },
    /more than 1000 entries: the limit is images\.limits\.max_layer_entries$/,
  ],
  [
    'of deep directories',
    makeImage({ layers: [[{ path: `${'d/'.repeat(500)}f` }]] }),
    { max_layer_depth: 100 },
    /a path of more than 100 directories: the limit is images\.limits\.max_layer_depth$/,
  ],
  [
    'of a huge header',
    makeImage({ layers: [[{ path: 'f', xattrs: { 'user.x': Buffer.alloc(60_000, 1) } }]] }),
    { max_header_bytes: 50_000 },
    /PAX header of \d+ bytes, more than 50000: the limit is images\.limits\.max_header_bytes$/,
  ],
];

for (const [name, image, limits, why] of bombs) {
  for (const layer_store of ['auto', 'directories']) {
    test(`a layer ${name} is refused, and leaves nothing (${layer_store})`, { skip }, async (t) => {
      const registry = await startRegistry(t);
      await registry.push(image, 'bomb', 'v1');
      const { images, remains } = await startImages(t, { images: { layer_store, limits } });
      const named = `${registry.host}/bomb:v1`;
      await assert.rejects(images.puller.pull(named, { signal }), (error: Error) => {
        assert.ok(error.message.startsWith(`pull image ${named}: layer ${image.diffIds[0]}: `));
        assert.match(error.message, why);
        return true;
      });
      assert.deepEqual(await remains(), { temporary: [], layers: [], blobs: [] });
    });
  }
}

/** A layer of 1.5 GiB of one letter that never was in memory as a whole: frames of zstd follow one another. */
function denseBomb(): Buffer {
  const letters = Buffer.alloc(64 << 20, 'x');
  const frame = zstdCompressSync(letters);
  const count = 24;
  const size = String(letters.length * count);
  const header = tarOf([{ path: 'letters', data: '', pax: { size } }]);
  const head = zstdCompressSync(header.subarray(0, -1024));
  return Buffer.concat([head, ...Array.from({ length: count }, () => frame)]);
}

test('a layer of a gigabyte and more that was a few kilobytes is refused by its ratio', {
  skip,
}, async (t) => {
  const blob = denseBomb();
  const image = makeImage({ layers: [[]], compression: 'zstd' });
  const manifest = JSON.parse(image.manifest.toString()) as { layers: object[] };
  manifest.layers = [
    { mediaType: `${mediaTypes.ociLayer}+zstd`, digest: digestOfBytes(blob), size: blob.length },
  ];
  const bytes = Buffer.from(JSON.stringify(manifest));
  const registry = await startRegistry(t);
  const dense: TestImage = {
    ...image,
    manifest: bytes,
    manifestDigest: digestOfBytes(bytes),
    blobs: new Map([...image.blobs, [digestOfBytes(blob), blob]]),
  };
  await registry.push(dense, 'bomb', 'v1');
  const { images, remains } = await startImages(t);
  await assert.rejects(images.puller.pull(`${registry.host}/bomb:v1`, { signal }), {
    kind: 'resource-exhausted',
    message: /of \d+: more than 200 times as many: the limit is images\.limits\.max_layer_ratio$/,
  });
  assert.deepEqual(await remains(), { temporary: [], layers: [], blobs: [] });
});

for (const layer_store of ['auto', 'directories']) {
  test(`zeros take no disk, and read as zeros (${layer_store})`, { skip }, async (t) => {
    const image = makeImage({
      layers: [
        [
          { path: 'zeros', data: zeros },
          { path: 'between', data: Buffer.concat([zeros, Buffer.from('x'), zeros]) },
        ],
      ],
    });
    const registry = await startRegistry(t);
    await registry.push(image, 'sparse', 'v1');
    const service = await startImages(t, { images: { layer_store } });
    await service.images.puller.pull(`${registry.host}/sparse:v1`, { signal });
    assert.ok(treeUsage(layersDirectory(service)).bytes < 1 << 20);
    const sha256 = (...parts: Buffer[]): string =>
      createHash('sha256').update(Buffer.concat(parts)).digest('hex').slice(0, 12);
    const tree = await showChain(service, image.diffIds);
    const between = sha256(zeros, Buffer.from('x'), zeros);
    assert.match(tree['zeros'] ?? '', new RegExp(` size ${64 << 20} ${sha256(zeros)} `));
    assert.match(tree['between'] ?? '', new RegExp(` size ${(128 << 20) + 1} ${between} `));
  });
}
