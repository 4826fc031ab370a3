import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { exportImages } from './export/export-images.ts';
import { collectGarbage } from './images/collect-garbage.ts';
import { removeImage } from './images/remove-image.ts';
import { cannotCutPower, cutPower, freeze, makeDisk, mountDisk } from './testing/power-disk.ts';
import { showChain } from './testing/show-chain.ts';
import { makeImage, type TestImage } from './testing/test-image.ts';
import {
  signal,
  startImages,
  type TestService,
  temporaryDirectory,
} from './testing/test-images.ts';
import { cannotRun, startRegistry, type TestRegistry } from './testing/test-registry.ts';

/*
 * The power is cut at many moments of pulls, an import and a removal. Whatever
 * the disk then holds, the next start must trust nothing that is wrong, leave
 * nothing behind, and have all that the service had said to be done.
 */

const skip = cannotRun || cannotCutPower();
// One that is synced while the next is worked on, and small ones that are not.
const base = Array.from({ length: 9 }, (_, i) => ({
  path: `big/${i}`,
  data: Buffer.alloc(1 << 20, i + 1),
}));
const files = (text: string) =>
  Array.from({ length: 40 }, (_, i) => ({
    path: `app/${i}`,
    data: `${text} ${i}\n`.repeat(i * 20),
  }));
const one = makeImage({ layers: [base, files('one')], label: 'one' });
const two = makeImage({
  layers: [base, files('two'), [{ path: 'last', data: '2' }]],
  label: 'two',
});
// Brings nothing but its config: no layer has the disk synced for it.
const imported = makeImage({ layers: [base, files('one')], label: 'imported' });
const all = [one, two, imported];

type Tree = Readonly<Record<string, string>>;

interface Cut {
  readonly disk: string;
  /** How many steps the process had told to be done. */
  readonly steps: number;
}

/** After each step, what must be there whatever happens: the service has said so. */
const promised: readonly (readonly TestImage[])[] = [
  [],
  [one],
  [one, imported],
  [one, imported, two],
  [imported, two],
];

for (const store of ['auto', 'directories']) {
  test(`the power may be cut at any moment (${store})`, { skip, timeout: 300_000 }, async (t) => {
    const registry = await startRegistry(t);
    await registry.push(one, 'app', 'v1');
    await registry.push(two, 'app', 'v2');
    await registry.push(imported, 'imported', 'v1');
    const archive = join(temporaryDirectory(t), 'imported.tar');
    const trees = await treesOf(t, registry, archive);

    const cuts = await cutsOfOneLife(t, `${registry.host}/app`, archive, store);

    assert.deepEqual(
      new Set(cuts.map(({ steps }) => steps)),
      new Set(promised.keys()),
      'a cut after each step',
    );
    t.diagnostic(`${cuts.length} cuts`);
    for (const [index, cut] of cuts.entries()) {
      await survives(t, { ...cut, index, registry, trees, store }).catch((cause: unknown) => {
        const when = `cut ${index} of ${cuts.length}, ${cut.steps} steps done`;
        throw new Error(`${when}: ${String(cause)}`, { cause });
      });
    }
  });
}

/** What the images look like when nothing goes wrong, and one of them as an archive. */
async function treesOf(
  t: TestContext,
  registry: TestRegistry,
  archive: string,
): Promise<ReadonlyMap<string, Tree>> {
  const service = await startImages(t);
  const { store, puller } = service.images;
  const names = ['app:v1', 'app:v2', 'imported:v1'].map((name) => `${registry.host}/${name}`);
  const trees = new Map<string, Tree>();
  for (const name of names) {
    const id = await puller.pull(name, { signal });
    trees.set(id, untimed(await showChain(service, store.images.layersOf(id))));
  }
  const write = (tar: AsyncIterable<Uint8Array>) => pipeline(tar, createWriteStream(archive));
  await exportImages(store, [String(names[2])], 'docker', write, signal);
  return trees;
}

/** Lets a process live its life on a disk, and copies that again and again. */
async function cutsOfOneLife(
  t: TestContext,
  repository: string,
  archive: string,
  store: string,
): Promise<Cut[]> {
  const directory = temporaryDirectory(t);
  const [disk, root] = [join(directory, 'disk'), join(directory, 'root')];
  makeDisk(disk);
  await using _mounted = await mountDisk(disk, root);
  const program = fileURLToPath(new URL('./testing/live-once.ts', import.meta.url));
  const stepsFile = join(directory, 'steps');
  writeFileSync(stepsFile, '0');
  const child = spawn(process.execPath, [program, directory, repository, archive], {
    env: { ...process.env, GANTRY_TEST_LAYER_STORE: store },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const ended = once(child, 'exit');
  t.after(() => child.kill('SIGKILL'));
  const cuts: Cut[] = [];
  let written = -1;
  let sliceMs = 4;
  for (let steps = 0; steps < promised.length - 1; ) {
    await delay(sliceMs);
    // A slow host gets no more cuts than a fast one, only wider apart.
    sliceMs *= 1.03;
    await freeze(child);
    const { mtimeMs } = statSync(disk);
    steps = Number(readFileSync(stepsFile, 'utf8'));
    if (mtimeMs !== written || cuts.at(-1)?.steps !== steps) {
      written = mtimeMs;
      const copy = join(directory, `cut-${cuts.length}`);
      cutPower(disk, copy);
      cuts.push({ disk: copy, steps });
    }
    child.kill('SIGCONT');
  }
  // It may stop itself once more after it was told to go on.
  while (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGCONT');
    await delay(5);
  }
  const [code] = (await ended) as [number | null];
  assert.equal(code, 0);
  return cuts;
}

/** The next boot on one of the copies. */
async function survives(
  t: TestContext,
  options: Cut & {
    readonly index: number;
    readonly registry: TestRegistry;
    readonly trees: ReadonlyMap<string, Tree>;
    readonly store: string;
  },
): Promise<void> {
  const { registry, trees, steps } = options;
  const directory = join(temporaryDirectory(t), 'host');
  mkdirSync(directory);
  await using _mounted = await mountDisk(options.disk, join(directory, 'root'));
  const service = await startImages(t, {
    directory,
    images: { layer_store: options.store },
    bootId: `boot ${options.index}`,
  });
  const { images } = service;
  const found = images.store.images.list();

  for (const { id } of found) {
    assert.deepEqual(await shown(service, id), trees.get(id), `content of ${id}`);
    for (const digest of images.store.images.blobsOf(id)) {
      assert.ok((await images.store.content.read(digest)) !== undefined, `blob ${digest}`);
    }
  }
  const ids = found.map(({ id }) => id);
  const mayBe = [promised[steps] ?? [], promised[steps + 1] ?? []].map((list) =>
    list.map(({ id }) => id),
  );
  const must = (mayBe[0] ?? []).filter(
    (id) => steps + 1 >= promised.length || mayBe[1]?.includes(id),
  );
  assert.deepEqual(
    must.filter((id) => !ids.includes(id)),
    [],
    'images that were said to be there',
  );
  assert.deepEqual(
    ids.filter((id) => !mayBe.flat().includes(id)),
    [],
    'images that were said to be gone',
  );
  const { temporary, layers } = await service.remains();
  assert.deepEqual(temporary, []);
  const recorded = images.store.layers.all().map((diffId) => diffId.replace(':', '-'));
  assert.deepEqual(layers, recorded.sort(), 'layers without a record, or records without a layer');

  const id = await images.puller.pull(`${registry.host}/app:v2`, { signal });
  assert.deepEqual(await shown(service, id), trees.get(id), 'content after a new pull');
  for (const image of all) {
    await removeImage(images.store, image.id);
  }
  await collectGarbage(images.store, 0);
  assert.deepEqual((await service.remains()).layers, []);
  assert.deepEqual((await service.remains()).temporary, []);
  await images[Symbol.asyncDispose]();
}

async function shown(service: TestService, id: TestImage['id']): Promise<Tree> {
  return untimed(await showChain(service, service.images.store.images.layersOf(id)));
}

/** Directories without an entry of their own are as old as their layer. */
function untimed(tree: Tree): Tree {
  return Object.fromEntries(
    Object.entries(tree).map(([path, line]) => [path, line.replace(/^(directory .*) \d+$/, '$1')]),
  );
}
