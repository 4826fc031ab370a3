import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { findTool } from '@gantry/host';
// oxlint-disable-next-line no-restricted-imports -- the package's own entry for tests
import { type TestEntry, tarOf } from '@gantry/tar/testing';
import { showChain } from '../testing/show-chain.ts';
import { makeImage, type TestImage } from '../testing/test-image.ts';
import { signal, startImages, temporaryDirectory } from '../testing/test-images.ts';

const isRoot = process.geteuid?.() === 0;
const skip = isRoot ? false : 'needs root';
const image = makeImage({
  layers: [[{ path: 'bin/su', data: 'x', mode: 0o4755 }], [{ path: 'f', data: 'y' }]],
  user: 'www-data:7',
});
const name = 'registry.example/app:v1';

/** The files of an OCI layout. */
function layoutOf(from: TestImage, annotations: object): TestEntry[] {
  const { manifestType: mediaType, manifestDigest: digest, manifest } = from;
  const index = {
    schemaVersion: 2,
    manifests: [{ mediaType, digest, size: manifest.length, annotations }],
  };
  const blobs = [...from.blobs, [digest, manifest] as const];
  return [
    { path: 'oci-layout', data: '{"imageLayoutVersion":"1.0.0"}' },
    { path: 'index.json', data: JSON.stringify(index) },
    ...blobs.map(([d, data]) => ({ path: `blobs/sha256/${d.slice(7)}`, data })),
  ];
}

function writeLayout(t: TestContext, entries: readonly TestEntry[]): string {
  const directory = temporaryDirectory(t);
  for (const { path, data = '' } of entries) {
    const file = join(directory, String(path));
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, data);
  }
  return directory;
}

function writeTar(t: TestContext, entries: readonly TestEntry[]): string {
  const file = join(temporaryDirectory(t), 'archive.tar');
  writeFileSync(file, tarOf(entries));
  return file;
}

const named = { 'org.opencontainers.image.ref.name': name };

test('an OCI layout is imported from a directory, a tar and a gzipped tar', { skip }, async (t) => {
  const tar = writeTar(t, layoutOf(image, named));
  execFileSync('gzip', ['-k', tar]);
  const layout = writeLayout(t, layoutOf(image, { 'io.containerd.image.name': name }));
  for (const path of [layout, tar, `${tar}.gz`]) {
    const service = await startImages(t);
    const { images, remains } = service;
    const imported = await images.importImages({ path: path }, '', signal);
    assert.deepEqual(imported, [{ id: image.id, names: [name] }]);
    const record = images.store.images.find(name);
    assert.equal(record?.id, image.id);
    assert.equal(record.user, 'www-data:7');
    assert.deepEqual(record.repoDigests, [`registry.example/app@${image.manifestDigest}`]);
    const shown = await showChain(service, image.diffIds);
    assert.match(shown['bin/su'] ?? '', /^file 4755 /);
    assert.deepEqual((await remains()).temporary, []);
  }
});

test('a given name replaces those of the archive', { skip }, async (t) => {
  const { images } = await startImages(t);
  const layout = writeLayout(t, layoutOf(image, { 'org.opencontainers.image.ref.name': 'latest' }));
  const imported = await images.importImages({ path: layout }, 'localhost/pause:1', signal);
  assert.deepEqual(imported, [{ id: image.id, names: ['localhost/pause:1'] }]);
  await assert.rejects(images.importImages({ path: layout }, '', signal), {
    kind: 'invalid-argument',
    message: /names the image only "latest": give a full name/,
  });
});

test('a docker archive of two images is imported, links in it followed', { skip }, async (t) => {
  const [layer1 = '', layer2 = ''] = image.layerDigests;
  const second = makeImage({ layers: [[{ path: 'f', data: 'y' }]], label: 'second' });
  const [only = ''] = second.layerDigests;
  const path = writeTar(t, [
    {
      path: 'manifest.json',
      data: JSON.stringify([
        { Config: 'one.json', RepoTags: ['app:v1', 'app:v2'], Layers: ['a/layer.tar', 'b.tar'] },
        { Config: 'two.json', RepoTags: ['other:v1'], Layers: ['c.tar'] },
      ]),
    },
    { path: 'one.json', data: blobOf(image, image.id) },
    { path: 'two.json', data: blobOf(second, second.id) },
    { path: 'a/layer.tar', type: 'symlink', linkTarget: '../real.tar' },
    { path: 'real.tar', data: blobOf(image, layer1) },
    { path: 'b.tar', data: blobOf(image, layer2) },
    { path: 'c.tar', data: blobOf(second, only) },
  ]);
  const { images } = await startImages(t);
  assert.deepEqual(await images.importImages({ path: path }, '', signal), [
    { id: image.id, names: ['docker.io/library/app:v1', 'docker.io/library/app:v2'] },
    { id: second.id, names: ['docker.io/library/other:v1'] },
  ]);
  assert.deepEqual(images.store.images.find('app:v2')?.repoDigests, []);
});

const layout = layoutOf(image, named);
const [layer2] = image.layerDigests.slice(1);
const bad: [what: string, entries: TestEntry[], why: RegExp][] = [
  [
    'with a spoiled layer',
    spoil(layer2),
    /blob sha256:\w+: its content has the digest|more than|bytes where/,
  ],
  ['with a spoiled config', spoil(image.id), /config sha256:\w+: its content has the digest/],
  [
    'with a spoiled manifest',
    spoil(image.manifestDigest),
    /manifest sha256:\w+: its content has another/,
  ],
  [
    'without its layer',
    layout.filter(({ path }) => !String(path).includes(String(layer2).slice(7))),
    /not in the archive/,
  ],
  ['of nothing', [{ path: 'x' }], /neither an OCI layout nor a docker archive/],
  [
    'of another version',
    [{ path: 'oci-layout', data: '{"imageLayoutVersion":"2.0"}' }],
    /not an OCI layout of version 1/,
  ],
];

for (const [what, entries, why] of bad) {
  test(`an archive ${what} is refused and nothing is visible`, { skip }, async (t) => {
    const { images, remains } = await startImages(t);
    await assert.rejects(images.importImages({ path: writeTar(t, entries) }, '', signal), {
      kind: 'invalid-argument',
      message: why,
    });
    assert.deepEqual(images.store.images.list(), []);
    assert.deepEqual((await remains()).temporary, []);
    assert.deepEqual((await remains()).blobs, []);
  });
}

test('a manifest in a directory may not lead out of it', { skip }, async (t) => {
  const { images } = await startImages(t);
  const manifest = JSON.stringify([{ Config: '../../etc/x', RepoTags: ['a:b'], Layers: [] }]);
  const directory = writeLayout(t, [{ path: 'manifest.json', data: manifest }]);
  await assert.rejects(images.importImages({ path: directory }, '', signal), {
    message: /leads out of the archive/,
  });
});

test('what is no archive is told as such', { skip }, async (t) => {
  const { images } = await startImages(t);
  const file = join(temporaryDirectory(t), 'x');
  writeFileSync(file, '<html>'.repeat(200));
  await assert.rejects(images.importImages({ path: file }, '', signal), {
    message: /wrong header checksum/,
  });
  await assert.rejects(images.importImages({ path: '/no/such' }, '', signal), {
    kind: 'not-found',
  });
  for (const long of ['/a'.repeat(1 << 19), 'a'.repeat(1 << 20)]) {
    await assert.rejects(images.importImages({ path: long }, '', signal), {
      kind: 'invalid-argument',
      message:
        /^import "[a/]{100}"\.\.\. \(1048576 letters\): the path (must be absolute|is longer than 4095 bytes)$/,
    });
  }
  await assert.rejects(images.importImages({ path: 'relative' }, '', signal), {
    kind: 'invalid-argument',
  });
});

const noSkopeo = isRoot
  ? findTool('skopeo') === undefined && 'needs the Debian package skopeo'
  : skip;

test('what skopeo writes is imported with the same id', { skip: noSkopeo }, async (t) => {
  const source = writeLayout(t, layoutOf(image, { 'org.opencontainers.image.ref.name': 'x' }));
  const directory = temporaryDirectory(t);
  const copy = (target: string) =>
    execFileSync('skopeo', ['copy', '-q', '--insecure-policy', `oci:${source}:x`, target]);
  copy(`docker-archive:${directory}/docker.tar:registry.example/app:v1`);
  copy(`oci-archive:${directory}/oci.tar:registry.example/app:v2`);
  const { images } = await startImages(t);
  const [fromDocker] = await images.importImages({ path: `${directory}/docker.tar` }, '', signal);
  const [fromOci] = await images.importImages({ path: `${directory}/oci.tar` }, '', signal);
  assert.deepEqual(fromDocker?.names, ['registry.example/app:v1']);
  assert.deepEqual(fromOci, { id: image.id, names: ['registry.example/app:v2'] });
  const layers = images.store.images.layersOf(fromDocker.id);
  assert.deepEqual(layers, image.diffIds);
  assert.ok(readFileSync(`${directory}/docker.tar`).length > 0);
});

function blobOf(from: TestImage, digest: string): Buffer {
  return from.blobs.get(digest as TestImage['id']) ?? Buffer.alloc(0);
}

function spoil(digest: string | undefined): TestEntry[] {
  return layout.map((entry) => {
    if (!String(entry.path).includes(String(digest).slice(7))) {
      return entry;
    }
    const data = Buffer.from(entry.data ?? '');
    data[data.length - 3] = (data[data.length - 3] ?? 0) ^ 1;
    return { ...entry, data };
  });
}
