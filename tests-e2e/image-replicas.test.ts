import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildImage } from '@gantry/debian-image';
import { kindOf } from '@gantry/errors';
import { type Registry, startRegistry } from './harness/registry.ts';
import { type RegistryProxy, startRegistryProxy } from './harness/registry-proxy.ts';
import { pidsOf } from './harness/services.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

// Two image-services behind one gateway, on one store.

let registry: Registry;
let proxy: RegistryProxy;
let stack: Stack;
before(async () => {
  registry = await startRegistry();
  proxy = await startRegistryProxy(registry.host);
  stack = await startStack({
    busybox: false,
    config: 'resume_min_bytes = 1\n[services]\nreplicas = { "image-service" = 2 }',
  });
});
after(async () => {
  await stack[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

interface Pushed {
  readonly layers: readonly { readonly digest: string; readonly size: number }[];
  /** Gives the image one more name, by way of the proxy. */
  name(tag: string): Promise<string>;
}

/** An image of layers that do not shrink, in the registry. */
async function push(repository: string, ...sizes: readonly number[]): Promise<Pushed> {
  const outDir = join(stack.dir, repository);
  const layers = sizes.map((size, i) => [
    { type: 'file' as const, path: `file-${i}`, content: randomBytes(size) },
  ]);
  await buildImage({ outDir, name: repository, layers });
  await registry.push(outDir, `${repository}:1`);
  const manifests = `http://${registry.host}/v2/${repository}/manifests`;
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = await (await fetch(`${manifests}/1`, { headers: { accept: type } })).text();
  return {
    ...(JSON.parse(manifest) as Pick<Pushed, 'layers'>),
    name: async (tag) => {
      const headers = { 'content-type': type };
      const { ok } = await fetch(`${manifests}/${tag}`, { method: 'PUT', headers, body: manifest });
      assert.ok(ok);
      return `${proxy.host}/${repository}:${tag}`;
    },
  };
}

const pull = async (image: string) => (await stack.images.pullImage({ image: { image } })).imageRef;

async function waitForExit(pid: number): Promise<void> {
  await until(
    `the end of process ${pid}`,
    () => Promise.resolve(pidsOf(stack, 'image-service')),
    (pids) => !pids.includes(pid),
  );
}

interface Page {
  readonly process: { readonly pid: number };
  readonly pulls: readonly { readonly layers: readonly { readonly received: number }[] }[];
}

/** What each instance says of the pulls that it has. */
async function pages(): Promise<Page[]> {
  const directory = join(stack.stateDir, 'images/pulls');
  const names = (await readdir(directory)).filter((name) => name.endsWith('.json'));
  const texts = await Promise.all(
    names.map((name) => readFile(join(directory, name), 'utf8').catch(() => '')),
  );
  return texts.filter((text) => text !== '').map((text) => JSON.parse(text) as Page);
}

/** Pulls until both instances have a part in it. */
async function pullByBoth(nameOf: (count: number) => Promise<string>): Promise<Promise<string>[]> {
  const pulls: Promise<string>[] = [];
  let looks = 0;
  await until(
    'both instances pull',
    async () => {
      // Who gets a request is chance, and it takes a moment to show.
      if (looks++ % 25 === 0) {
        const names = await Promise.all([1, 2, 3, 4].map((i) => nameOf(pulls.length + i)));
        pulls.push(...names.map(pull));
      }
      // Looked at when all have begun.
      pulls.forEach((one) => void one.catch(() => undefined));
      return (await pages()).length;
    },
    (count) => count === 2,
  );
  return pulls;
}

test('both serve pulls at once, and fetch each layer once between them', async () => {
  const image = await push('both', 600_000, 400_000);
  const [held] = image.layers;
  assert.ok(held !== undefined);
  proxy.hold(held.digest, held.size / 2);
  const pulls = await pullByBoth((count) => image.name(`tag-${count}`));
  proxy.release();
  assert.equal(new Set(await Promise.all(pulls)).size, 1);
  for (const { digest } of image.layers) {
    assert.deepEqual(proxy.asked(digest), ['']);
  }
  const { images } = await stack.images.listImages({});
  const found = images.find(({ repoTags }) => repoTags.some((tag) => tag.includes('/both:')));
  assert.equal(found?.repoTags.length, pulls.length);
});

test('one that is killed in mid-pull leaves it to the other, which begins where it stood', async () => {
  const image = await push('killed', 8 << 20);
  const [layer] = image.layers;
  assert.ok(layer !== undefined);
  proxy.hold(layer.digest, 5 << 20);
  const name = await image.name('v1');
  const pulls = await pullByBoth(() => Promise.resolve(name));
  const partial = join(stack.rootDir, 'images/partial', layer.digest.replace(':', '-'));
  await until(
    'half of the layer lies on disk',
    () =>
      stat(partial).then(
        ({ size }) => size,
        () => 0,
      ),
    (size) => size >= 3 << 20,
  );
  const puller = await until(
    'it shows who has the layer',
    async () =>
      (await pages()).find((page) => page.pulls.some((one) => one.layers[0]?.received ?? 0)),
    (page) => page !== undefined,
  );
  const pid = puller?.process.pid ?? 0;
  process.kill(pid, 'SIGKILL');
  await waitForExit(pid);
  const { size: kept } = await stat(partial);
  proxy.release();

  const outcomes = await Promise.allSettled(pulls);
  const done = outcomes.filter((one) => one.status === 'fulfilled');
  const failed = outcomes.filter((one) => one.status === 'rejected');
  assert.ok(done.length > 0, 'the other instance finished');
  assert.ok(failed.length > 0, 'callers of the killed one were told');
  for (const { reason } of failed) {
    assert.equal(kindOf(reason), 'unavailable');
  }
  assert.equal(await pull(name), done[0]?.value);
  assert.deepEqual(proxy.asked(layer.digest), ['', `bytes=${kept}-`]);
  await until(
    'the killed instance is back',
    () => Promise.resolve(pidsOf(stack, 'image-service')),
    (pids) => pids.length === 2,
  );
});
