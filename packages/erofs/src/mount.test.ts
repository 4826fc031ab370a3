import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { messageOf } from '@gantry/errors';
import { openErofs } from '@gantry/host';
// oxlint-disable-next-line no-restricted-imports -- the package's own entry for tests
import { padded, tarOf } from '@gantry/tar/testing';
import { nastyLayers } from './nasty-layers.ts';
import {
  dumpTree,
  extractWithTar,
  settledDirectories,
  withoutMadeUpTimes,
} from './reference-tree.ts';
import { type Dump, devicesOf, dumpImage, layerOf, treesOf } from './testing.ts';
import { buildImage } from './write-image.ts';

/** What keeps the kernel from mounting an image here; false when nothing does. */
function cannotMount(): string | false {
  if (process.geteuid?.() !== 0) {
    return 'needs root';
  }
  const directory = mkdtempSync(join(tmpdir(), 'gantry-erofs-'));
  try {
    const source = join(directory, 'image');
    writeFileSync(source, buildImage([]).bytes);
    openErofs({ source, devices: [] })[Symbol.dispose]();
    return false;
  } catch (error) {
    return `needs Linux 6.12 with EROFS backed by files: ${messageOf(error)}`;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
const skip = cannotMount();

interface Mounted {
  readonly path: string;
  readonly directory: string;
  /** The same image, read by our own reader. */
  readonly read: () => Dump;
}

/** Writes the image of layers below a directory and mounts it; both go with the test. */
function mount(t: TestContext, tars: readonly Buffer[]): Mounted {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-erofs-'));
  const layers = tars.map((tar) => layerOf(tar));
  const image = buildImage(treesOf(layers));
  const source = join(directory, 'image');
  writeFileSync(source, image.bytes);
  const contents = devicesOf(image, layers);
  const devices = contents.map((bytes, index) => {
    const device = join(directory, `device-${index}`);
    writeFileSync(device, bytes);
    return device;
  });
  const mounted = openErofs({ source, devices });
  t.after(() => {
    mounted[Symbol.dispose]();
    rmSync(directory, { recursive: true });
  });
  // Child processes find it under our number, not their own.
  const path = mounted.path.replace('self', String(process.pid));
  return { path, directory, read: () => dumpImage(image.bytes, contents) };
}

async function assertAsExtracted(t: TestContext, tars: readonly Buffer[]): Promise<Dump> {
  const { path, directory, read } = mount(t, tars);
  const shown = await dumpTree(path);
  assert.deepEqual(shown, read());
  const reference = join(directory, 'reference');
  extractWithTar(reference, tars);
  const settled = settledDirectories(tars);
  assert.deepEqual(
    withoutMadeUpTimes(shown, settled),
    withoutMadeUpTimes(await dumpTree(reference), settled),
  );
  return shown;
}

test('the kernel shows each nasty layer as GNU tar extracts it', { skip }, async (t) => {
  for (const tar of nastyLayers().slice(0, 4)) {
    const shown = await assertAsExtracted(t, [tar]);
    assert.ok(Object.keys(shown).length > 5);
  }
});

test('the kernel shows all nasty layers as one, entry by entry as GNU tar has them', {
  skip,
}, async (t) => {
  const shown = await assertAsExtracted(t, nastyLayers());
  assert.ok(Object.keys(shown).length > 5000);
  assert.equal(shown['hidden/a'], undefined);
  assert.match(shown['tmp'] ?? '', /^directory 1777 /);
});

test('links are counted as a file system counts them', { skip }, (t) => {
  const { path } = mount(t, nastyLayers());
  const count = (name: string): number => statSync(join(path, name)).nlink;
  assert.equal(count('links/2'), 1);
  assert.equal(count('kind-2'), 2);
  assert.equal(
    statSync(path).nlink,
    2 + readdirSync(path, { withFileTypes: true }).filter((e) => e.isDirectory()).length,
  );
});

test('127 layers, each with a change, are one mount', { skip }, async (t) => {
  const layers = Array.from({ length: 127 }, (_, i) =>
    tarOf([
      { path: `layer-${i}/file`, data: `of layer ${i}` },
      { path: 'common', data: `changed by layer ${i}` },
      ...(i % 2 === 1 ? [{ path: `.wh.layer-${i - 1}` }] : []),
    ]),
  );
  const { path, read } = mount(t, layers);
  assert.deepEqual(await dumpTree(path), read());
  assert.equal(readdirSync(path).length, 64 + 1);
  assert.equal(readFileSync(join(path, 'common'), 'utf8'), 'changed by layer 126');
});

test('a sparse file of terabytes is read where it has data, and is zero elsewhere', {
  skip,
}, (t) => {
  const size = 6 * 2 ** 40;
  const map = padded(Buffer.from(`2\n${2 ** 40}\n512\n${5 * 2 ** 40}\n1024\n`));
  const sparse = {
    path: 'sparse',
    data: Buffer.concat([map, Buffer.alloc(512, 'a'), Buffer.alloc(1024, 'b')]),
    pax: {
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'huge',
      'GNU.sparse.realsize': String(size),
    },
  };
  assert.throws(
    () => layerOf(tarOf([sparse])),
    (error) => /2 TiB/.test(messageOf(error)),
  );
  const hole = { ...sparse, data: padded(Buffer.from('0\n')) };
  const { path } = mount(t, [tarOf([hole])]);
  assert.equal(statSync(join(path, 'huge')).size, size);
  const fd = openSync(join(path, 'huge'), 'r');
  const bytes = Buffer.alloc(4096, 1);
  assert.equal(readSync(fd, bytes, 0, 4096, size - 4096), 4096);
  closeSync(fd);
  assert.deepEqual(bytes, Buffer.alloc(4096));
});

test('each format in which GNU tar writes sparse files comes out the same', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-sparse-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = openSync(join(directory, 'sparse'), 'w');
  ftruncateSync(file, 20_000_000);
  for (let i = 0; i < 40; i++) {
    writeSync(file, `piece ${i}`, i * 400_000 + 4096);
  }
  closeSync(file);
  for (const format of [
    'gnu',
    'pax --sparse-version=1.0',
    'pax --sparse-version=0.1',
    'pax --sparse-version=0.0',
  ]) {
    const tar = execFileSync('tar', [
      '-C',
      directory,
      '-S',
      ...`--format=${format}`.split(' '),
      '-cf',
      '-',
      'sparse',
    ]);
    assert.ok(tar.length < 1_000_000, format);
    await assertAsExtracted(t, [tar]);
  }
});
