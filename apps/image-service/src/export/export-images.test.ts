import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createWriteStream, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { kindOf, messageOf } from '@gantry/errors';
import { findTool } from '@gantry/host';
import { mediaTypes } from '@gantry/oci';
import { removeImage } from '../images/remove-image.ts';
import { layersDirectory, showChain } from '../testing/show-chain.ts';
import { digestOfBytes, makeImage, makeIndex, type TestImage } from '../testing/test-image.ts';
import {
  signal,
  startImages,
  type TestService,
  temporaryDirectory,
} from '../testing/test-images.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';
import { type ArchiveFormat, type Export, exportImages } from './export-images.ts';

const skip = cannotRun || (findTool('skopeo') === undefined && 'needs the Debian package skopeo');
const long = `${'long-name'.repeat(20)}/`;
const nasty = makeImage({
  compression: 'gzip',
  user: 'app',
  layers: [
    [
      { path: 'dir/', type: 'directory', mode: 0o1777, uid: 3_000_000, mtime: 1_000_000_000 },
      { path: 'dir/gone', data: 'a file that the next layer takes away' },
      { path: 'opaque/', type: 'directory' },
      { path: 'opaque/hidden', data: 'x' },
      { path: 'implicit/', type: 'directory', mode: 0o700, uid: 7 },
      { path: 'implicit/one', data: '1' },
    ],
    [
      { path: 'bin/', type: 'directory' },
      { path: 'bin/su', data: randomBytes(700_001), mode: 0o4755, pax: { mtime: '-5.25' } },
      { path: 'bin/su2', type: 'hardlink', linkTarget: 'bin/su' },
      { path: 'dir/.wh.gone', data: '' },
      { path: 'opaque/', type: 'directory' },
      { path: 'opaque/.wh..wh..opq', data: '' },
      {
        path: 'opaque/new',
        data: 'y',
        xattrs: {
          'user.a': 'b\n',
          'security.capability': Buffer.from('0100000200040000000000000000000000000000', 'hex'),
        },
      },
      { path: 'implicit/two', data: '2' },
      { path: `${long}f`, data: 'deep' },
      { path: Buffer.from([0x62, 0xff, 0x0a, 0x22]), data: 'bytes' },
      { path: 'link', type: 'symlink', linkTarget: `../${long}f` },
      { path: 'node', type: 'char', major: 1, minor: 3 },
      { path: 'pipe', type: 'fifo' },
      { path: 'empty', data: '' },
    ],
  ],
});

async function exportTo(
  { images }: TestService,
  file: string,
  names: readonly string[],
  format: ArchiveFormat = 'oci',
): Promise<Export> {
  return exportImages(
    images.store,
    names,
    format,
    (tar) => pipeline(tar, createWriteStream(file)),
    signal,
  );
}

async function pulled(t: Parameters<typeof startImages>[0], image: TestImage, own = {}) {
  const registry = await startRegistry(t);
  await registry.push(image, 'some/app', 'v1');
  const service = await startImages(t, { images: own });
  const name = `${registry.host}/some/app:v1`;
  await service.images.puller.pull(name, { signal });
  return { registry, service, name };
}

/** What containers see of the image. Times of directories without an entry are made up by each store. */
async function shownOf(service: TestService, id: TestImage['id']): Promise<object> {
  const tree = await showChain(service, service.images.store.images.layersOf(id));
  return Object.fromEntries(
    Object.entries(tree).map(([path, line]) => [path, line.replace(/^(directory .*) \d+$/, '$1')]),
  );
}

const skopeo = (...args: readonly string[]): string =>
  execFileSync('skopeo', ['--insecure-policy', ...args], { encoding: 'utf8', stdio: 'pipe' });

for (const layer_store of ['auto', 'directories']) {
  for (const format of ['oci', 'docker'] as const) {
    test(`an image of ${layer_store} goes as ${format} and is the same elsewhere`, {
      skip,
    }, async (t) => {
      const { service, name } = await pulled(t, nasty, { layer_store });
      const file = join(temporaryDirectory(t), 'image.tar');

      const { bytes, images } = await exportTo(service, file, [name], format);

      assert.equal(bytes, readFileSync(file).length);
      const [told] = images;
      assert.ok(told);
      const isOriginal = service.images.store.layerStore.name === 'erofs';
      assert.deepEqual([told.id, told.names, told.isExact], [nasty.id, [name], false]);
      assert.equal(told.exportedId === nasty.id, isOriginal);
      const other = await startImages(t);
      const [imported] = await other.images.importImages({ path: file }, '', signal);
      assert.deepEqual(imported, { id: told.exportedId, names: [name] });
      assert.deepEqual(await shownOf(other, told.exportedId), await shownOf(service, nasty.id));
      const kind = format === 'oci' ? 'oci-archive' : 'docker-archive';
      const inspected = JSON.parse(skopeo('inspect', '--config', `${kind}:${file}`)) as {
        config: { User: string };
      };
      assert.equal(inspected.config.User, 'app');
      const copy = join(temporaryDirectory(t), 'copy');
      skopeo('copy', '--quiet', `${kind}:${file}`, `dir:${copy}`);
      // Each format has what Docker of any age looks for.
      assert.match(execFileSync('tar', ['-tf', file], { encoding: 'utf8' }), /^manifest\.json$/m);
      assert.deepEqual((await service.remains()).temporary, []);
    });
  }
}

test('layers that came uncompressed go out under the manifest, and the index, that they came with', {
  skip,
}, async (t) => {
  const plain = makeImage({ layers: [[{ path: 'f', data: 'x' }]], compression: 'none' });
  const registry = await startRegistry(t);
  await registry.push(plain, 'app', 'one');
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const other = makeImage({ layers: [[{ path: 'other' }]], label: 'other' });
  await registry.push(other, 'app', 'two');
  const index = makeIndex([
    { image: plain, architecture },
    { image: other, architecture: 's390x' },
  ]);
  await registry.pushManifest(index, mediaTypes.ociIndex, 'app', 'all');
  const service = await startImages(t);
  const name = `${registry.host}/app:all`;
  await service.images.puller.pull(name, { signal });
  if (service.images.store.layerStore.name !== 'erofs') {
    t.skip('layers are extracted here');
    return;
  }
  const file = join(temporaryDirectory(t), 'image.tar');
  const { images } = await exportTo(service, file, [plain.id.slice(7, 20)]);
  assert.deepEqual(images[0], {
    id: plain.id,
    names: [name],
    exportedId: plain.id,
    manifestDigest: plain.manifestDigest,
    isExact: true,
  });
  const elsewhere = await startImages(t);
  await elsewhere.images.importImages({ path: file }, '', signal);
  const digested = `${registry.host}/app@${digestOfBytes(index)}`;
  assert.equal(elsewhere.images.store.images.find(digested)?.id, plain.id);
  const raw = skopeo('inspect', '--raw', `oci-archive:${file}`);
  assert.equal(createHash('sha256').update(raw).digest('hex'), digestOfBytes(index).slice(7));
  skopeo('copy', '--quiet', `oci-archive:${file}`, `dir:${join(temporaryDirectory(t), 'copy')}`);
});

test('several images share their layers in one archive, and an image without a name goes as well', {
  skip,
}, async (t) => {
  const registry = await startRegistry(t);
  const layers = [[{ path: 'shared', data: 'x'.repeat(10_000) }]];
  const [one, two] = [makeImage({ layers }), makeImage({ layers, label: 'two' })];
  await registry.push(one, 'app', 'one');
  await registry.push(two, 'app', 'two');
  const service = await startImages(t);
  const { puller } = service.images;
  await puller.pull(`${registry.host}/app@${one.manifestDigest}`, { signal });
  await puller.pull(`${registry.host}/app:two`, { signal });
  const file = join(temporaryDirectory(t), 'images.tar');
  await exportTo(service, file, [one.id, `${registry.host}/app:two`]);
  const members = execFileSync('tar', ['-tf', file], { encoding: 'utf8' }).trim().split('\n');
  assert.equal(new Set(members).size, members.length);
  assert.equal(members.filter((member) => /sha256\/./.test(member)).length, 5);
  const listed = skopeo('inspect', '--config', `oci-archive:${file}:two`);
  assert.match(listed, /"label":\s*"two"/);
});

test('what is not here, and layers that the disk has changed, fail the export by name', {
  skip,
}, async (t) => {
  const { service, name } = await pulled(t, nasty);
  const file = join(temporaryDirectory(t), 'image.tar');
  await assert.rejects(exportTo(service, file, [name, 'localhost/never:1']), (error) => {
    assert.equal(kindOf(error), 'not-found');
    assert.equal(messageOf(error), 'export "localhost/never:1": not on this node');
    return true;
  });
  assert.equal(existsSync(file), false);
  await assert.rejects(exportTo(service, file, []), { kind: 'invalid-argument' });
  if (service.images.store.layerStore.name === 'erofs') {
    const layer = join(layersDirectory(service), String(nasty.diffIds[1]).replace(':', '-'));
    const tar = readFileSync(join(layer, 'layer.tar'));
    tar[5000] = (tar[5000] ?? 0) ^ 1;
    writeFileSync(join(layer, 'layer.tar'), tar);
    await assert.rejects(exportTo(service, file, [name]), (error) => {
      assert.equal(kindOf(error), 'internal');
      assert.match(
        messageOf(error),
        /^export "[^"]*": blob sha256:\w+: damaged on this node's disk/,
      );
      return true;
    });
  }
});

test('an image that is removed while it goes out goes out whole', { skip }, async (t) => {
  const { service, name } = await pulled(t, nasty);
  const file = join(temporaryDirectory(t), 'image.tar');
  const { store } = service.images;
  await exportImages(
    store,
    [name],
    'oci',
    async (tar) => {
      await removeImage(store, nasty.id);
      await pipeline(tar, createWriteStream(file));
    },
    signal,
  );
  const other = await startImages(t);
  assert.equal((await other.images.importImages({ path: file }, '', signal)).length, 1);
  assert.deepEqual(store.images.list(), []);
  assert.equal(readdirSync(layersDirectory(service)).length, 2);
});
