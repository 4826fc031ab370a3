import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Digest, parseDigest } from '@gantry/oci';
import { openStore } from '@gantry/store';
import { ImageRecords, type NewImage } from './image-records.ts';
import { LayerRecords } from './layer-records.ts';
import { migrations } from './migrations.ts';
import { RootRecords } from './root-records.ts';

const digest = (text: string): Digest => parseDigest(`sha256:${text.padEnd(64, '0')}`);
const [a, b, layer1, layer2] = [digest('abc1'), digest('abc2'), digest('11'), digest('22')];
const imageOf = (id: Digest, more: Partial<NewImage> = {}): NewImage => ({
  id,
  user: '',
  diffIds: [layer1],
  blobs: [{ digest: id, size: 10 }],
  tags: [],
  digests: [],
  ...more,
});

function open(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-records-'));
  const store = openStore(join(directory, 'images.db'), { migrations });
  t.after(() => {
    store[Symbol.dispose]();
    rmSync(directory, { recursive: true, force: true });
  });
  const clock = () => 1000;
  const layers = new LayerRecords(store, clock, 'boot 1');
  layers.add(layer1, { bytes: 100, inodes: 3 });
  layers.add(layer2, { bytes: 200, inodes: 4 });
  return {
    images: new ImageRecords(store, clock),
    layers,
    roots: new RootRecords(store, clock),
    store,
  };
}

test('an image is found by every name that people use', (t) => {
  const { images } = open(t);
  const target = digest('77');
  images.add(imageOf(a, { tags: ['docker.io/library/abc:latest'], digests: [`r.io/x@${target}`] }));
  images.add(imageOf(b, { tags: ['docker.io/library/app:v1'] }));
  const cases: [text: string, id: Digest | undefined][] = [
    ['abc', a],
    ['abc1', a],
    ['abc2', b],
    ['sha256:abc2', b],
    [b, b],
    [b.slice(7), b],
    ['app:v1', b],
    ['docker.io/app:v1', b],
    ['index.docker.io/library/app:v1', b],
    ['app', undefined],
    [`r.io/x@${target}`, a],
    [`r.io/x:any@${target}`, a],
    [`r.io/y@${target}`, undefined],
    ['sha256:abc3', undefined],
    ['Not A Name', undefined],
  ];
  for (const [text, id] of cases) {
    assert.equal(images.find(text)?.id, id, text);
  }
  assert.throws(() => images.find(''), { kind: 'invalid-argument' });
  assert.throws(() => images.find('sha256:abc'), {
    kind: 'invalid-argument',
    message: /more than one/,
  });
});

test('a tag that moves leaves the old image without it, and the image stays', (t) => {
  const { images } = open(t);
  images.add(imageOf(a, { tags: ['r.io/x:v1', 'r.io/x:v2'] }));
  images.add(imageOf(b, { tags: ['r.io/x:v1'] }));
  assert.deepEqual(images.get(a)?.repoTags, ['r.io/x:v2']);
  assert.deepEqual(images.get(b)?.repoTags, ['r.io/x:v1']);
});

test('an image whose layers are not all here changes nothing', (t) => {
  const { images } = open(t);
  const missing = digest('33');
  assert.deepEqual(images.add(imageOf(a, { diffIds: [layer1, missing], tags: ['r.io/x:v1'] })), [
    missing,
  ]);
  assert.deepEqual(images.list(), []);
});

test('the size counts blobs and each layer once', (t) => {
  const { images } = open(t);
  images.add(imageOf(a, { diffIds: [layer1, layer2, layer1] }));
  assert.equal(images.get(a)?.bytes, 310);
  assert.deepEqual(images.layersOf(a), [layer1, layer2, layer1]);
});

test('a layer is unused only when no image and no root needs it', (t) => {
  const { images, layers, roots } = open(t);
  images.add(imageOf(a, { diffIds: [layer1] }));
  const image = { id: a, repoTags: [], repoDigests: [] };
  const root = { ownerId: 'c', image, config: new Uint8Array([1]), diffIds: [layer2] };
  roots.add(root);
  assert.deepEqual(layers.unused(2000), []);
  assert.deepEqual(layers.forgetUnused([layer1]), []);
  images.remove(a);
  roots.remove('c');
  assert.deepEqual(layers.unused(1000), []);
  assert.deepEqual(layers.unused(1001), [layer1, layer2]);
  assert.deepEqual(layers.forgetUnused([layer1]), [layer1]);
  assert.throws(() => roots.add({ ...root, diffIds: [layer1] }), { kind: 'not-found' });
});

test('a layer is doubtful after a reboot until an image was recorded with it', (t) => {
  const { images, layers, store } = open(t);
  const later = new LayerRecords(store, Date.now, 'boot 2');
  assert.deepEqual([layers.doubtful(), later.doubtful()], [[], [layer1, layer2]]);
  images.add(imageOf(a, { diffIds: [layer1, layer1] }));
  assert.deepEqual(later.doubtful(), [layer2]);
  assert.equal(layers.areSynced([layer1, layer2]), false);
  assert.equal(layers.areSynced([layer1, layer1]), true);
});

test('an image is held when recording it again would change nothing', (t) => {
  const { images } = open(t);
  const target = digest('77');
  const image = imageOf(a, {
    diffIds: [layer1, layer2],
    tags: ['r.io/x:v1'],
    digests: [`r.io/x@${target}`],
    blobs: [{ digest: target, size: 7 }],
  });
  assert.equal(images.holds(image), false);
  images.add(image);
  assert.equal(images.holds(image), true);
  assert.equal(images.holds({ ...image, tags: [] }), true);
  assert.equal(images.holds({ ...image, tags: ['r.io/x:v1', 'r.io/x:v2'] }), false);
  assert.equal(images.holds({ ...image, diffIds: [layer2, layer1] }), false);
  assert.equal(images.holds({ ...image, blobs: [{ digest: layer1, size: 7 }] }), false);
  images.add(imageOf(b, { tags: ['r.io/x:v1'] }));
  assert.equal(images.holds(image), false);
});
