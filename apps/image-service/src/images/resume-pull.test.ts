import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { showChain } from '../testing/show-chain.ts';
import { makeImage } from '../testing/test-image.ts';
import { signal, startImages, temporaryDirectory } from '../testing/test-images.ts';
import { startProxy, type TestProxy } from '../testing/test-proxy.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';
import { collectGarbage } from './collect-garbage.ts';
import { removeImage } from './remove-image.ts';

const skip = cannotRun;
const image = makeImage({ layers: [[{ path: 'big', data: randomBytes(10 << 20) }]] });
const layer = String(image.layerDigests[0]);
const size = image.blobs.get(image.layerDigests[0] ?? image.id)?.length ?? 0;
const options = { resume_min_bytes: 1 << 20 };

interface Broken {
  readonly directory: string;
  readonly name: string;
  readonly proxy: TestProxy;
  /** What has come of the layer. */
  readonly partial: string;
}

/** A pull by a process that is killed when about 60% of the layer have come; the registry is whole after that. */
async function brokenPull(t: TestContext, own: object = {}): Promise<Broken> {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  let hold = true;
  const proxy = await startProxy(t, registry.host, ({ path, response, forward }) =>
    forward(
      hold && path.includes(layer)
        ? (answer) => {
            let left = Math.floor(size * 0.6);
            response.writeHead(200, answer.headers);
            answer.on('data', (chunk: Buffer) => {
              response.write(chunk.subarray(0, left));
              left -= Math.min(left, chunk.length);
            });
          }
        : undefined,
    ),
  );
  const directory = temporaryDirectory(t);
  const name = `${proxy.host}/app:v1`;
  const program = fileURLToPath(new URL('../testing/pull-once.ts', import.meta.url));
  const child = spawn(process.execPath, [program, directory, name], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, GANTRY_TEST_IMAGES: JSON.stringify({ ...options, ...own }) },
  });
  t.after(() => child.kill('SIGKILL'));
  const partial = join(directory, 'root/images/partial', layer.replace(':', '-'));
  while (!existsSync(partial) || statSync(partial).size < 5 << 20) {
    assert.equal(child.exitCode, null, 'the pull ended');
    await delay(5);
  }
  child.kill('SIGKILL');
  await once(child, 'exit');
  hold = false;
  return { directory, name, proxy, partial };
}

const asked = (proxy: TestProxy): string[] =>
  proxy.requests.filter((request) => request.includes(layer));

test('a layer that a killed process had begun is gone on with', { skip }, async (t) => {
  const { directory, name, proxy, partial } = await brokenPull(t);
  const kept = statSync(partial).size;
  const service = await startImages(t, { directory, images: options });
  const { images } = service;
  // The figure for the whole store counts it.
  assert.ok((await images.imageUsage()).bytes >= kept);

  assert.equal(await images.puller.pull(name, { signal }), image.id);

  assert.deepEqual(asked(proxy).slice(1), [`GET /v2/app/blobs/${layer} bytes=${kept}-`]);
  const tree = await showChain(service, image.diffIds);
  assert.match(tree['big'] ?? '', / size 10485760 /);
  assert.deepEqual(readdirSync(join(directory, 'root/images/partial')), []);
});

test('a layer that had come in full is not asked for again', { skip }, async (t) => {
  const { directory, name, proxy, partial } = await brokenPull(t);
  writeFileSync(partial, image.blobs.get(image.layerDigests[0] ?? image.id) ?? '');
  const { images } = await startImages(t, { directory, images: options });
  assert.equal(await images.puller.pull(name, { signal }), image.id);
  assert.equal(asked(proxy).length, 1);
});

const spoiled: [what: string, spoil: (partial: string) => void][] = [
  [
    'is not what had come',
    (partial) => {
      const bytes = readFileSync(partial);
      bytes[1000] = (bytes[1000] ?? 0) ^ 1;
      writeFileSync(partial, bytes);
    },
  ],
  [
    'ends in zeros that no one wrote',
    (partial) => truncateSync(partial, statSync(partial).size + 9),
  ],
  ['is longer than the layer', (partial) => truncateSync(partial, size + 1)],
];
for (const [what, spoil] of spoiled) {
  test(`what lies on disk ${what}: the layer is fetched anew`, { skip }, async (t) => {
    const { directory, name, proxy, partial } = await brokenPull(t);
    spoil(partial);
    const { images } = await startImages(t, { directory, images: options });
    assert.equal(await images.puller.pull(name, { signal }), image.id);
    assert.equal(asked(proxy).at(-1), `GET /v2/app/blobs/${layer}`);
    assert.deepEqual(readdirSync(join(directory, 'root/images/partial')), []);
  });
}

test('a registry that knows no ranges sends all of it, and what had come is passed over', {
  skip,
}, async (t) => {
  const { directory, proxy } = await brokenPull(t);
  const deaf = await startProxy(t, proxy.host, ({ request, forward }) => {
    delete request.headers['range'];
    forward();
  });
  const { images } = await startImages(t, { directory, images: options });
  assert.equal(await images.puller.pull(`${deaf.host}/app:v1`, { signal }), image.id);
  assert.match(asked(deaf)[0] ?? '', / bytes=\d+-$/);
});

test('a registry that has other content now is refused, and nothing of it is kept', {
  skip,
}, async (t) => {
  const { directory, proxy } = await brokenPull(t);
  const other = await startProxy(t, proxy.host, ({ path, response, forward }) => {
    if (path.includes(layer)) {
      response.writeHead(200).end(randomBytes(size));
    } else {
      forward();
    }
  });
  const { images, remains } = await startImages(t, { directory, images: options });
  await assert.rejects(images.puller.pull(`${other.host}/app:v1`, { signal }), {
    kind: 'failed-precondition',
    message: new RegExp(`blob ${layer}: its content has the digest`),
  });
  assert.deepEqual(readdirSync(join(directory, 'root/images/partial')), []);
  assert.deepEqual((await remains()).temporary, []);
});

test('what nobody goes on with is collected, and small layers leave nothing', {
  skip,
}, async (t) => {
  const { directory, partial } = await brokenPull(t);
  const { images } = await startImages(t, { directory, images: options });
  await collectGarbage(images.store);
  assert.equal(existsSync(partial), true);
  await collectGarbage(images.store, 0);
  assert.equal(existsSync(partial), false);
});

test('layers are kept as they came where the config wants it, and go with their image', {
  skip,
}, async (t) => {
  const { directory, name } = await brokenPull(t, { keep_compressed_layers: true });
  const own = { ...options, keep_compressed_layers: true };
  const before = await startImages(t, { directory, images: own });
  await before.images.puller.pull(name, { signal });
  const blob = join(directory, 'root/images/content/blobs/sha256', layer.slice(7));
  assert.ok(
    readFileSync(blob).equals(
      image.blobs.get(image.layerDigests[0] ?? image.id) ?? Buffer.alloc(0),
    ),
  );
  await before.images[Symbol.asyncDispose]();

  truncateSync(blob, 100);
  const { images, warnings } = await startImages(t, { directory, images: own });
  assert.deepEqual(warnings, ['a manifest or layer of the image is lost or damaged']);
  assert.equal(existsSync(blob), false);
  assert.equal(images.store.images.get(image.id)?.id, image.id);
  await removeImage(images.store, image.id);
  assert.deepEqual(readdirSync(join(directory, 'root/images/content/blobs/sha256')), []);
});
