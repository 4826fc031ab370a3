import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { kindOf, messageOf } from '@gantry/errors';
import { mountInfo, run, unmount } from '@gantry/host';
import { removeImage } from '../images/remove-image.ts';
import { TemporarySpace } from '../store/temporary-space.ts';
import { showChain } from '../testing/show-chain.ts';
import { makeImage } from '../testing/test-image.ts';
import {
  signal,
  startImages,
  type TestService,
  temporaryDirectory,
} from '../testing/test-images.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';
import { probeErofs } from './probe-erofs.ts';

/** What keeps EROFS from being used here; false when nothing does. */
async function cannotMount(): Promise<string | false> {
  if (cannotRun !== false) {
    return cannotRun;
  }
  const directory = mkdtempSync(join(tmpdir(), 'gantry-probe-'));
  try {
    await using temporary = await TemporarySpace.open(directory);
    await probeErofs(temporary);
    return false;
  } catch (error) {
    return `EROFS can't be mounted here: ${messageOf(error)}`;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
const skip = await cannotMount();
const options = { pullIfMissing: false, signal };
const onErofs = { layer_store: 'erofs' };
const image = makeImage({
  layers: [[{ path: 'a', data: 'x'.repeat(5000) }], [{ path: 'b', data: 'y' }, { path: '.wh.a' }]],
});

const mountsOf = async (directory: string): Promise<string[]> =>
  (await mountInfo())
    .filter(({ mountPoint, fsType }) => fsType === 'erofs' && mountPoint.startsWith(directory))
    .map(({ mountPoint }) => mountPoint);
const erofsFiles = (directory: string, part: 'layers' | 'images'): string[] =>
  readdirSync(join(directory, 'root/images/erofs', part));

async function pulled(t: TestContext, directory = temporaryDirectory(t)) {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const service = await startImages(t, { directory, images: onErofs });
  const name = `${registry.host}/app:v1`;
  await service.images.puller.pull(name, { signal });
  return { service, name, host: registry.host, registry, directory };
}

test('containers of an image share one mount, which goes with the last of them', {
  skip,
}, async (t) => {
  const { service, name, directory } = await pulled(t);
  const { rootfs } = service.images;
  assert.deepEqual(await mountsOf(directory), []);
  const one = await rootfs.prepare('c1', name, options);
  const two = await rootfs.prepare('c2', name, options);
  assert.deepEqual(one.lowerDirs, two.lowerDirs);
  assert.deepEqual(await mountsOf(directory), one.lowerDirs);
  assert.equal(await readFile(join(one.lowerDirs[0] ?? '', 'b'), 'utf8'), 'y');
  await rootfs.release('c1');
  assert.deepEqual(await mountsOf(directory), one.lowerDirs);
  await rootfs.release('c2');
  assert.deepEqual(await mountsOf(directory), []);
  assert.deepEqual(readdirSync(join(directory, 'state/images/mounts')), []);
  // The metadata stays for the next one.
  assert.equal(erofsFiles(directory, 'images').length, 1);
  await removeImage(service.images.store, image.id);
  assert.deepEqual(erofsFiles(directory, 'images'), []);
});

test('two images of the same layers share the mount, and neither removal takes it from a container', {
  skip,
}, async (t) => {
  const { service, name, registry, host, directory } = await pulled(t);
  const layers = [
    [{ path: 'a', data: 'x'.repeat(5000) }],
    [{ path: 'b', data: 'y' }, { path: '.wh.a' }],
  ];
  const twin = makeImage({ layers, label: 'twin' });
  await registry.push(twin, 'twin', 'v1');
  const { puller, rootfs, store } = service.images;
  await puller.pull(`${host}/twin:v1`, { signal });
  const root = await rootfs.prepare('c1', name, options);
  await removeImage(store, image.id);
  await removeImage(store, twin.id);
  assert.equal(await readFile(join(root.lowerDirs[0] ?? '', 'b'), 'utf8'), 'y');
  assert.equal(erofsFiles(directory, 'images').length, 1);
  await rootfs.release('c1');
  assert.deepEqual([await mountsOf(directory), erofsFiles(directory, 'layers')], [[], []]);
  assert.deepEqual(await service.images.imageUsage(), { bytes: 0, inodes: 0 });
});

test('a mount is found again by the next process, and made again after a reboot', {
  skip,
}, async (t) => {
  const { service, name, directory } = await pulled(t);
  const { lowerDirs } = await service.images.rootfs.prepare('c1', name, options);
  await service.images[Symbol.asyncDispose]();

  const next = await startImages(t, { directory, images: onErofs });
  assert.deepEqual(await mountsOf(directory), lowerDirs);
  assert.deepEqual((await next.images.rootfs.prepare('c1', name, options)).lowerDirs, lowerDirs);
  assert.deepEqual(await mountsOf(directory), lowerDirs);

  await unmount(lowerDirs[0] ?? '');
  rmSync(join(directory, 'state/images'), { recursive: true });
  const rebooted = await startImages(t, { directory, images: onErofs });
  await rebooted.images.rootfs.prepare('c1', name, options);
  assert.deepEqual(await mountsOf(directory), lowerDirs);
  await rebooted.images.rootfs.release('c1');
  assert.deepEqual(await mountsOf(directory), []);
});

/** Spoils a file of the store in the middle. */
function spoil(path: string, at: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.from('spoiled'), 0, 7, at);
  closeSync(fd);
}

test('damaged metadata and indexes are made anew from the tars', { skip }, async (t) => {
  const { service, directory } = await pulled(t);
  const expected = await showChain(service, image.diffIds);
  const settle = () => service.images.store.layerStore.settleChain(image.diffIds, () => 'kept');
  await settle();
  const [key = ''] = erofsFiles(directory, 'images');
  const metadata = join(directory, 'root/images/erofs/images', key);
  for (const damage of [
    () => spoil(metadata, 2000),
    () => truncateSync(metadata, 3000),
    () => rmSync(metadata),
    () => {
      rmSync(metadata);
      for (const layer of erofsFiles(directory, 'layers')) {
        spoil(join(directory, 'root/images/erofs/layers', layer, 'layer.index'), 40);
      }
    },
  ]) {
    damage();
    assert.deepEqual(await showChain(service, image.diffIds), expected);
    await settle();
  }
});

test('a layer that was cut short is not mounted, and goes at the next start', {
  skip,
}, async (t) => {
  const { service, name, directory } = await pulled(t);
  const [first = ''] = image.diffIds.map((diffId) => diffId.replace(':', '-'));
  const upper = image.diffIds[1]?.replace(':', '-') ?? '';
  truncateSync(join(directory, 'root/images/erofs/layers', upper, 'layer.tar'), 512);
  await assert.rejects(service.images.rootfs.prepare('c1', name, options), {
    kind: 'internal',
    message: /layer\.tar: 512 bytes instead of/,
  });
  assert.deepEqual(await mountsOf(directory), []);
  await service.images[Symbol.asyncDispose]();
  const next = await startImages(t, { directory, images: onErofs });
  assert.deepEqual((await next.remains()).layers, [first]);
  assert.deepEqual(next.images.store.images.list(), []);
});

const steps = ['erofs.layer-kept', 'erofs.chain-built', 'erofs.mounted', 'erofs.unmounted'];
for (const point of steps) {
  test(`a process that dies at ${point} leaves no mount and nothing that is not whole`, {
    skip,
  }, async (t) => {
    const directory = temporaryDirectory(t);
    const registry = await startRegistry(t);
    await registry.push(image, 'app', 'v1');
    const name = `${registry.host}/app:v1`;
    const faultFile = join(temporaryDirectory(t), 'fault');
    writeFileSync(faultFile, point);
    const program = fileURLToPath(new URL('../testing/run-once.ts', import.meta.url));
    const child = spawn(process.execPath, [program, directory, name], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, GANTRY_FAULT_FILE: faultFile },
    });
    const [, killedBy] = (await once(child, 'exit')) as [number | null, string | null];
    assert.equal(killedBy, 'SIGKILL');

    const service = await startImages(t, { directory, images: onErofs });
    assert.deepEqual((await service.remains()).temporary, []);
    await service.images.puller.pull(name, { signal });
    const { lowerDirs } = await service.images.rootfs.prepare('again', name, options);
    assert.deepEqual(await mountsOf(directory), lowerDirs);
    for (const owner of service.images.rootfs.list()) {
      await service.images.rootfs.release(owner);
    }
    await removeImage(service.images.store, image.id);
    assert.deepEqual(await service.remains(), { temporary: [], layers: [], blobs: [] });
    assert.deepEqual([await mountsOf(directory), erofsFiles(directory, 'images')], [[], []]);
  });
}

/** What `du` says of everything in a directory. */
async function diskUsage(path: string): Promise<number> {
  const { stdout } = await run('du', ['-s', '--block-size=1', path]);
  return Number.parseInt(stdout.toString(), 10);
}

test('what the store says it takes is what du shows', { skip }, async (t) => {
  const { service, directory } = await pulled(t);
  await service.images.store.layerStore.sync(directory);
  const erofs = join(directory, 'root/images/erofs');
  const blobs = join(directory, 'root/images/content/blobs');
  // The directories that are there without any image do not count.
  const empty = [
    'erofs',
    'erofs/layers',
    'erofs/images',
    'content/blobs',
    'content/blobs/sha256',
    'content/blobs/sha512',
  ];
  const shown = (await diskUsage(erofs)) + (await diskUsage(blobs)) - empty.length * 4096;
  assert.equal((await service.images.imageUsage()).bytes, shown);
});

test('what one store has kept is served on after a change to the other', { skip }, async (t) => {
  const { service, name, directory } = await pulled(t);
  const { lowerDirs } = await service.images.rootfs.prepare('c1', name, options);
  await service.images[Symbol.asyncDispose]();

  const asDirectories = await startImages(t, {
    directory,
    images: { layer_store: 'directories' },
  });
  await serves(asDirectories, name, lowerDirs);
  await asDirectories.images.rootfs.release('c1');
  await removeImage(asDirectories.images.store, image.id);
  assert.deepEqual([await mountsOf(directory), erofsFiles(directory, 'layers')], [[], []]);

  await asDirectories.images.puller.pull(name, { signal });
  const root = await asDirectories.images.rootfs.prepare('c2', name, options);
  assert.equal(root.lowerDirs.length, 2);
  await asDirectories.images[Symbol.asyncDispose]();
  const onErofsAgain = await startImages(t, { directory, images: onErofs });
  assert.deepEqual(await onErofsAgain.images.rootfs.prepare('c2', name, options), root);
  await onErofsAgain.images.rootfs.release('c2');
  await removeImage(onErofsAgain.images.store, image.id);
  assert.deepEqual((await onErofsAgain.remains()).layers, []);
});

async function serves(service: TestService, name: string, lowerDirs: readonly string[]) {
  assert.deepEqual(service.warnings, []);
  assert.equal(service.images.store.images.find(name)?.id, image.id);
  const root = await service.images.rootfs.prepare('c1', name, options);
  assert.deepEqual(root.lowerDirs, lowerDirs);
}

test('an image that shares a layer with one of the former store fetches it again', {
  skip,
}, async (t) => {
  const { service, name, registry, host, directory } = await pulled(t);
  await service.images[Symbol.asyncDispose]();
  const other = makeImage({
    layers: [[{ path: 'a', data: 'x'.repeat(5000) }], [{ path: 'c', data: 'z' }]],
  });
  assert.equal(other.diffIds[0], image.diffIds[0]);
  await registry.push(other, 'other', 'v1');
  const next = await startImages(t, { directory, images: { layer_store: 'directories' } });
  await next.images.puller.pull(`${host}/other:v1`, { signal });
  const root = await next.images.rootfs.prepare('c1', `${host}/other:v1`, options);
  assert.equal(root.lowerDirs.length, 2);
  assert.equal((await next.images.rootfs.prepare('c2', name, options)).lowerDirs.length, 1);
});

test('erofs is refused where it can not be had, and auto does without', { skip }, async (t) => {
  const directory = temporaryDirectory(t);
  const root = join(directory, 'root');
  await run('mkdir', ['-p', root]);
  await run('mount', ['-t', 'tmpfs', 'tmpfs', root]);
  await assert.rejects(
    startImages(t, { directory, images: onErofs }),
    (error) =>
      kindOf(error) === 'failed-precondition' && /layer_store = "erofs"/.test(messageOf(error)),
  );
  const { images, warnings } = await startImages(t, { directory, images: { layer_store: 'auto' } });
  assert.equal(images.store.layerStore.name, 'directories');
  assert.equal(warnings.length, 1);
});

test('a full disk in mid-pull is one clear error, and a smaller image still fits', {
  skip: skip === false && (await cannotLoop()) ? 'needs loop devices' : skip,
}, async (t) => {
  const directory = temporaryDirectory(t);
  const disk = join(directory, 'disk');
  writeFileSync(disk, '');
  truncateSync(disk, 24 << 20);
  await run('mkfs.ext4', ['-q', '-m', '0', disk]);
  const place = join(directory, 'place');
  await run('mkdir', [place]);
  const { exitCode, stderr } = await run('mount', ['-o', 'loop', disk, place]);
  assert.equal(exitCode, 0, stderr.toString());
  const registry = await startRegistry(t);
  const large = makeImage({ layers: [[{ path: 'huge', data: Buffer.alloc(40 << 20, 2) }]] });
  await registry.push(large, 'large', 'v1');
  await registry.push(image, 'small', 'v1');
  const service = await startImages(t, { directory: place, images: onErofs });
  await assert.rejects(service.images.puller.pull(`${registry.host}/large:v1`, { signal }), {
    kind: 'resource-exhausted',
    message: /^pull image .*large:v1: write layer sha256:\w+: ENOSPC: no space left/,
  });
  assert.deepEqual(await service.remains(), { temporary: [], layers: [], blobs: [] });
  assert.equal(await service.images.puller.pull(`${registry.host}/small:v1`, { signal }), image.id);
  await service.images[Symbol.asyncDispose]();
});

async function cannotLoop(): Promise<boolean> {
  const { exitCode } = await run('losetup', ['--find']).catch(() => ({ exitCode: 1 }));
  return exitCode !== 0;
}
