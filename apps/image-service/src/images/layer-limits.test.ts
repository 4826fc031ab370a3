import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { mediaTypes } from '@gantry/oci';
// oxlint-disable-next-line no-restricted-imports -- the package's own entry for tests
import { tarOf } from '@gantry/tar/testing';
import { checkSize, ratioFromBytes } from '../layers/layer-limits.ts';
import { digestOfBytes, makeImage, type TestImage } from '../testing/test-image.ts';
import { signal, startImages } from '../testing/test-images.ts';
import { testLimits } from '../testing/test-limits.ts';
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

/** A layer of 1.5 GiB of zeros that never was in memory as a whole: frames of zstd follow one another. */
function denseBomb(): { blob: Buffer; raw: number } {
  const frame = zstdCompressSync(zeros);
  const count = 24;
  const header = tarOf([{ path: 'zeros', data: '', pax: { size: String(zeros.length * count) } }]);
  const head = zstdCompressSync(header.subarray(0, -1024));
  return {
    blob: Buffer.concat([head, ...Array.from({ length: count }, () => frame)]),
    raw: zeros.length * count,
  };
}

test('a layer of a gigabyte and more that was a few kilobytes is refused by its ratio', {
  skip,
}, async (t) => {
  const { blob } = denseBomb();
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

test('small layers may be as dense as they like, and large ones up to the ratio', () => {
  const limits = testLimits(2 ** 40, { maxRatio: 100 });
  const [diffId] = makeImage({ layers: [[]] }).diffIds;
  assert.ok(diffId);
  const raw = ratioFromBytes * 2;
  checkSize(diffId, limits, ratioFromBytes, 1);
  checkSize(diffId, limits, raw, raw / 100);
  assert.throws(() => checkSize(diffId, limits, raw, raw / 100 - 1), {
    kind: 'resource-exhausted',
  });
});
