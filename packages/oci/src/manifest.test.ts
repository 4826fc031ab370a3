import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseImageConfig } from './image-config.ts';
import { parseDockerArchiveManifest, parseImageDocument } from './manifest.ts';
import { mediaTypes } from './media-type.ts';

const digest = `sha256:${'b'.repeat(64)}`;
const blob = { mediaType: mediaTypes.ociLayer, digest, size: 7 };
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const invalid = (message: RegExp) => ({ kind: 'invalid-argument', message });

test('an index and a manifest are told apart by what they hold', () => {
  const index = parseImageDocument(json({ schemaVersion: 2, manifests: [blob] }), 'x');
  const manifest = parseImageDocument(
    json({ schemaVersion: 2, config: blob, layers: [blob] }),
    'x',
  );

  assert.equal(index.kind === 'index' && index.index.manifests[0]?.size, 7);
  assert.equal(manifest.kind === 'manifest' && manifest.manifest.layers[0]?.digest, digest);
});

const refused: [name: string, document: unknown, why: RegExp, type?: string][] = [
  ['schema 1', { schemaVersion: 1, fsLayers: [] }, /schema 1/],
  [
    'both an index and a manifest',
    { schemaVersion: 2, manifests: [], config: blob, layers: [] },
    /both an index and a manifest/,
  ],
  [
    'an index called a manifest',
    { schemaVersion: 2, manifests: [] },
    /does not fit its media type/,
    mediaTypes.ociManifest,
  ],
  ['no layers', { schemaVersion: 2, config: blob }, /layers/],
  [
    'a negative size',
    { schemaVersion: 2, config: { ...blob, size: -1 }, layers: [] },
    /config\.size/,
  ],
  [
    'a fractional size',
    { schemaVersion: 2, config: { ...blob, size: 0.5 }, layers: [] },
    /config\.size/,
  ],
  [
    'a huge size',
    { schemaVersion: 2, config: { ...blob, size: 1e300 }, layers: [] },
    /config\.size/,
  ],
  [
    'a digest with a path in it',
    { schemaVersion: 2, config: { ...blob, digest: 'sha256:../../x' }, layers: [] },
    /config\.digest/,
  ],
  [
    'too many layers',
    { schemaVersion: 2, config: blob, layers: Array.from({ length: 501 }, () => blob) },
    /layers/,
  ],
  ['a list', [], /Expected/],
  ['null', null, /Expected Object/],
];

for (const [name, document, why, type] of refused) {
  test(`a manifest that is ${name} is refused`, () => {
    assert.throws(() => parseImageDocument(json(document), 'manifest x', type), invalid(why));
  });
}

test('what is not JSON is refused without quoting it', () => {
  assert.throws(() => parseImageDocument(Buffer.from('<html>'), 'manifest x'), {
    message: 'manifest x: not JSON',
  });
  assert.throws(
    () => parseImageDocument(Buffer.from([0x22, 0xff, 0x22]), 'x'),
    invalid(/not JSON/),
  );
});

test('what stands in a document is never quoted by what is said of its faults', () => {
  const document = {
    schemaVersion: 2,
    config: '\u001b[2J',
    layers: [],
    annotations: { '\u001b[2J': 1 },
  };
  assert.throws(
    () => parseImageDocument(json(document), 'manifest x'),
    invalid(/^manifest x: config: Invalid type: Expected Object; annotations\.\?\[2J: [ -~]+$/),
  );
});

test('a document over the limit is refused before it is parsed', () => {
  assert.throws(() => parseImageDocument(Buffer.alloc((8 << 20) + 1), 'x'), invalid(/more than/));
});

test('what a config leaves out, or Docker wrote as null, is empty', () => {
  const config = parseImageConfig(
    json({
      os: 'linux',
      architecture: 'amd64',
      config: { User: 'www-data:1004', Cmd: ['sh'], Entrypoint: null, Volumes: { '/data': {} } },
      rootfs: { type: 'layers', diff_ids: [digest] },
    }),
  );
  assert.equal(config.user, 'www-data:1004');
  assert.deepEqual(config.cmd, ['sh']);
  assert.deepEqual(config.entrypoint, []);
  assert.deepEqual(config.volumes, ['/data']);
  assert.deepEqual(config.labels, {});
  assert.deepEqual(config.diffIds, [digest]);
});

test('a config without layers in rootfs is no image config', () => {
  assert.throws(() => parseImageConfig(json({}), 'config of x'), invalid(/config of x: .*os/));
});

test('the manifest of a docker archive may lack tags', () => {
  const manifest = parseDockerArchiveManifest(
    json([{ Config: 'c', Layers: ['a'], RepoTags: null }]),
    'x',
  );
  assert.equal(manifest[0]?.Config, 'c');
});
