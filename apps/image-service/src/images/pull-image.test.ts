import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isKind } from '@gantry/errors';
import { mediaTypes } from '@gantry/oci';
import { showChain } from '../testing/show-chain.ts';
import { digestOfBytes, makeImage, makeIndex } from '../testing/test-image.ts';
import { signal, startImages } from '../testing/test-images.ts';
import { cutAfter, flipBit, startProxy } from '../testing/test-proxy.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';

/** What lies in a directory of the store; nothing where there is none. */
function entriesOf(directory: string, part: string): string[] {
  const path = join(directory, 'root/images', part);
  return existsSync(path) ? readdirSync(path).map((name) => join(path, name)) : [];
}

const skip = cannotRun;
const big = randomBytes(900_000);
const image = makeImage({
  user: '1002',
  layers: [
    [
      { path: './', type: 'directory' },
      { path: 'bin/', type: 'directory' },
      { path: 'bin/su', data: 'setuid', mode: 0o4755 },
    ],
    [{ path: 'big', data: big }],
  ],
});
const nothingLeft = { temporary: [], layers: [], blobs: [] };

for (const layer_store of ['auto', 'directories']) {
  test(`a pull of what is there asks once and writes nothing (${layer_store})`, {
    skip,
  }, async (t) => {
    const registry = await startRegistry(t);
    await registry.push(image, 'app', 'v1');
    const proxy = await startProxy(t, registry.host);
    const { images, directory } = await startImages(t, { images: { layer_store } });
    const pull = () => images.puller.pull(`${proxy.host}/app:v1`, { signal });
    await pull();
    const root = join(directory, 'root/images');
    // The -shm file of the records is memory that their readers share.
    const find = [root, '!', '-name', '*-shm', '-printf', '%y %P %s %T@\\n'];
    const written = (): string[] =>
      execFileSync('find', find, { encoding: 'utf8' })
        .split('\n')
        .filter((line) => !line.startsWith('d'));
    const [before, asked] = [written(), proxy.requests.length];
    assert.equal(await pull(), image.id);
    assert.deepEqual(proxy.requests.slice(asked), ['GET /v2/app/manifests/v1']);
    assert.deepEqual(written(), before);

    // Unless something has been lost meanwhile.
    const config = image.id.slice('sha256:'.length);
    rmSync(join(root, 'content/blobs/sha256', config));
    const [layer = ''] = entriesOf(
      directory,
      images.store.layerStore.name === 'erofs' ? 'erofs/layers' : 'layers',
    );
    rmSync(layer, { recursive: true });
    assert.equal(await pull(), image.id);
    assert.equal(proxy.requests.length, asked + 4);
    assert.ok(existsSync(layer) && existsSync(join(root, 'content/blobs/sha256', config)));
  });
}

test('an image is pulled by tag and by digest, and is one image', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'some/app', 'v1');
  const service = await startImages(t);
  const { images, remains, metrics } = service;
  const { store, puller } = images;

  const id = await puller.pull(`${registry.host}/some/app:v1`, { signal });
  const digested = `${registry.host}/some/app@${image.manifestDigest}`;
  assert.equal(await puller.pull(digested, { signal }), id);

  assert.equal(id, image.id);
  const [record, ...others] = store.images.list();
  assert.deepEqual(others, []);
  assert.ok(record);
  assert.deepEqual(record.repoTags, [`${registry.host}/some/app:v1`]);
  assert.deepEqual(record.repoDigests, [digested]);
  assert.ok(record.bytes > big.length);
  for (const name of [`${registry.host}/some/app:v1`, digested, id, id.slice(7), id.slice(7, 19)]) {
    assert.equal(store.images.find(name)?.id, id, name);
  }
  const shown = await showChain(service, store.images.layersOf(id));
  assert.match(shown['bin/su'] ?? '', /^file 4755 /);
  const hash = createHash('sha256').update(big).digest('hex').slice(0, 12);
  assert.match(shown['big'] ?? '', new RegExp(` size 900000 ${hash} `));
  assert.deepEqual((await remains()).temporary, []);
  assert.match(await metrics.metrics(), /containerd_image_pull_duration_seconds_count\{[^}]*\} 2/);
  assert.match(await metrics.metrics(), /gantry_image_layer_duration_seconds_count\{[^}]*\} 2/);
  assert.match(await metrics.metrics(), /gantry_image_layer_bytes_total\{[^}]*\} 9\d{5}/);
  // du -s of the store, without its database, temporary space and the directories themselves.
  const parts = ['content/blobs/sha256', 'erofs/layers', 'erofs/images', 'layers', 'merged'];
  const du = execFileSync('du', [
    '-s',
    '-c',
    '-B1',
    ...parts.flatMap((part) => entriesOf(service.directory, part)),
  ]);
  assert.equal((await images.imageUsage()).bytes, Number(/(\d+)\ttotal/.exec(du.toString())?.[1]));
});

for (const compression of ['gzip', 'zstd', 'none'] as const) {
  test(`layers in ${compression} are unpacked, Docker's types too`, { skip }, async (t) => {
    const registry = await startRegistry(t);
    const docker = makeImage({ layers: [[{ path: 'f', data: 'x' }]], compression, docker: true });
    const oci = makeImage({ layers: [[{ path: 'g', data: 'y' }]], compression });
    await registry.push(docker, 'docker', 'a');
    await registry.push(oci, 'oci', 'a');
    const { images } = await startImages(t);
    assert.equal(await images.puller.pull(`${registry.host}/docker:a`, { signal }), docker.id);
    assert.equal(await images.puller.pull(`${registry.host}/oci:a`, { signal }), oci.id);
  });
}

test('of an index, the image for this CPU is taken and the index is the digest', {
  skip,
}, async (t) => {
  const registry = await startRegistry(t);
  const other = makeImage({ layers: [[{ path: 'other' }]], label: 'other' });
  await registry.push(image, 'app', 'one');
  await registry.push(other, 'app', 'two');
  const own = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const index = makeIndex([
    { image: other, architecture: 's390x' },
    { image, architecture: own },
  ]);
  await registry.pushManifest(index, mediaTypes.ociIndex, 'app', 'all');
  await registry.pushManifest(
    makeIndex([{ image: other, architecture: 's390x' }]),
    mediaTypes.ociIndex,
    'app',
    'foreign',
  );
  const { images } = await startImages(t);

  assert.equal(await images.puller.pull(`${registry.host}/app:all`, { signal }), image.id);
  const digests = images.store.images.get(image.id)?.repoDigests;
  assert.deepEqual(digests, [`${registry.host}/app@${digestOfBytes(index)}`]);
  await assert.rejects(images.puller.pull(`${registry.host}/app:foreign`, { signal }), {
    kind: 'not-found',
    message: /pull image .*app:foreign: manifest sha256:\w+ of .*: no image for platform linux\//,
  });
});

test('what a registry does not have is not found, with name and host', { skip }, async (t) => {
  const registry = await startRegistry(t);
  const { images, remains } = await startImages(t);
  await assert.rejects(images.puller.pull(`${registry.host}/no/such:tag`, { signal }), {
    kind: 'not-found',
    message: `pull image ${registry.host}/no/such:tag: manifest for ${registry.host}/no/such:tag not found at registry host ${registry.host}`,
  });
  assert.deepEqual(await remains(), nothingLeft);
});

test('a registry that is not there is told as a kubelet knows it', { skip }, async (t) => {
  const { images } = await startImages(t);
  await assert.rejects(images.puller.pull('127.0.0.1:1/app:v1', { signal }), {
    kind: 'unknown',
    message:
      /^RegistryUnavailable: pull image 127\.0\.0\.1:1\/app:v1: fetch manifest v1: registry host 127\.0\.0\.1:1: .*ECONNREFUSED/,
  });
});

test('a corrupt layer is refused and leaves nothing', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const [, layer = ''] = image.layerDigests;
  let isCorrupt = true;
  const proxy = await startProxy(t, registry.host, ({ path, forward }) =>
    forward(isCorrupt && path.includes(layer) ? flipBit : undefined),
  );
  const { images, remains } = await startImages(t);
  await assert.rejects(images.puller.pull(`${proxy.host}/app:v1`, { signal }), {
    kind: 'failed-precondition',
    message: new RegExp(
      `app:v1: registry host ${proxy.host} sent wrong content: blob ${layer}: its content has the digest sha256:`,
    ),
  });
  assert.deepEqual(images.store.images.list(), []);
  const { temporary, layers, blobs } = await remains();
  assert.deepEqual([temporary, blobs], [[], []]);
  assert.ok(!layers.includes(String(image.diffIds[1]).replace(':', '-')));

  isCorrupt = false;
  assert.equal(await images.puller.pull(`${proxy.host}/app:v1`, { signal }), image.id);
});

const lies: [
  name: string,
  patch: NonNullable<Parameters<typeof makeImage>[0]['patch']>,
  why: RegExp,
][] = [
  [
    'a wrong diff id',
    ({ config }) =>
      Object.assign(config, { rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] } }),
    /layer sha256:0{64}: uncompressed content is sha256:/,
  ],
  [
    'a layer too few in its config',
    ({ config }) => Object.assign(config, { rootfs: { type: 'layers', diff_ids: [] } }),
    /manifest has 1 layers, its config 0/,
  ],
  [
    'a layer of unknown type',
    ({ manifest }) => {
      const { layers } = manifest as { layers: object[] };
      Object.assign(layers[0] ?? {}, { mediaType: 'application/x-encrypted' });
    },
    /unknown media type "application\/x-encrypted"/,
  ],
  [
    'a wrong size of a layer',
    ({ manifest }) => {
      const { layers } = manifest as { layers: { size: number }[] };
      Object.assign(layers[0] ?? {}, { size: (layers[0]?.size ?? 0) - 1 });
    },
    /sent wrong content: blob sha256:\w+: more than the \d+ bytes that its manifest tells/,
  ],
];

for (const [name, patch, why] of lies) {
  test(`an image with ${name} is refused`, { skip }, async (t) => {
    const registry = await startRegistry(t);
    await registry.push(makeImage({ layers: [[{ path: 'f', data: 'x' }]], patch }), 'app', 'v1');
    const { images, remains } = await startImages(t);
    await assert.rejects(images.puller.pull(`${registry.host}/app:v1`, { signal }), {
      kind: 'failed-precondition',
      message: why,
    });
    assert.deepEqual(await remains(), nothingLeft);
  });
}

test('a manifest of another digest than asked for is refused', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const wrong = `sha256:${'1'.repeat(64)}`;
  const proxy = await startProxy(t, registry.host, ({ request, path, forward }) => {
    request.url = path;
    forward();
  });
  const spoiled = await startProxy(t, registry.host, ({ path, response, forward }) => {
    if (path.endsWith(wrong)) {
      response.writeHead(200, { 'content-type': image.manifestType }).end(image.manifest);
    } else {
      forward();
    }
  });
  const { images } = await startImages(t);
  await assert.rejects(images.puller.pull(`${spoiled.host}/app@${wrong}`, { signal }), {
    kind: 'failed-precondition',
    message: new RegExp(`sent content of digest ${image.manifestDigest}`),
  });
  await assert.rejects(images.puller.pull(`${proxy.host}/app@${wrong}`, { signal }), {
    kind: 'not-found',
  });
});

test('a registry that hangs up in mid-layer is asked for the rest', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const [, layer = ''] = image.layerDigests;
  let cuts = 3;
  const proxy = await startProxy(t, registry.host, ({ path, forward }) => {
    cuts -= path.includes(layer) ? 1 : 0;
    forward(path.includes(layer) && cuts >= 0 ? cutAfter(200_000) : undefined);
  });
  const { images } = await startImages(t);
  assert.equal(await images.puller.pull(`${proxy.host}/app:v1`, { signal }), image.id);
  const asked = proxy.requests.filter((request) => request.includes(layer));
  assert.equal(asked.length, 4);
  assert.match(asked[3] ?? '', / bytes=[1-9]\d+-$/);
});

test('a registry that always hangs up is given up', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const [, layer = ''] = image.layerDigests;
  const proxy = await startProxy(t, registry.host, ({ path, request, forward }) => {
    delete request.headers['range'];
    forward(path.includes(layer) ? cutAfter(1000) : undefined);
  });
  const { images, remains } = await startImages(t);
  await assert.rejects(images.puller.pull(`${proxy.host}/app:v1`, { signal }), {
    message: /^RegistryUnavailable: .* broke off blob sha256:\w+ after 1000 of \d+ bytes/,
  });
  assert.deepEqual((await remains()).temporary, []);
});

test('server faults are tried again, refusals are not', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  let faults = 2;
  const flaky = await startProxy(t, registry.host, ({ response, forward }) => {
    faults -= 1;
    if (faults >= 0) {
      response.writeHead(503).end();
    } else {
      forward();
    }
  });
  const closed = await startProxy(t, registry.host, ({ response }) => {
    const errors = [{ code: 'DENIED', message: 'not for\nyou' }];
    response.writeHead(403).end(JSON.stringify({ errors }));
  });
  const { images } = await startImages(t);
  assert.equal(await images.puller.pull(`${flaky.host}/app:v1`, { signal }), image.id);
  await assert.rejects(images.puller.pull(`${closed.host}/app:v1`, { signal }), {
    kind: 'permission-denied',
    message: new RegExp(`registry host ${closed.host} answered 403: denied: not for you$`),
  });
  assert.equal(closed.requests.length, 1);
});

test('silence beyond the progress timeout ends a pull', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const proxy = await startProxy(t, registry.host, ({ path, response, forward }) =>
    forward(
      path.includes('blobs')
        ? (answer) => {
            response.writeHead(200, answer.headers);
            response.write('x');
          }
        : undefined,
    ),
  );
  const { images } = await startImages(t, { images: { pull_progress_timeout_ms: 100 } });
  await assert.rejects(images.puller.pull(`${proxy.host}/app:v1`, { signal }), {
    message: /^RegistryUnavailable: .*: no byte came for 0\.1 s/,
  });
});

test('a cancelled pull stops, though the registry never answers, and leaves nothing', {
  skip,
}, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const [, layer = ''] = image.layerDigests;
  const { promise: inLayer, resolve } = Promise.withResolvers<void>();
  const proxy = await startProxy(t, registry.host, ({ path, response, forward }) =>
    forward(
      path.includes(layer)
        ? (answer) => {
            response.writeHead(200, answer.headers);
            answer.once('data', (chunk: Buffer) => {
              response.write(chunk, () => resolve());
            });
          }
        : undefined,
    ),
  );
  const { images, remains } = await startImages(t);
  const controller = new AbortController();
  const pull = images.puller.pull(`${proxy.host}/app:v1`, { signal: controller.signal });
  await inLayer;
  controller.abort();
  await assert.rejects(pull, { name: 'AbortError' });
  assert.deepEqual((await remains()).temporary, []);
  assert.deepEqual(images.store.images.list(), []);
});

test('a deadline that has passed is told as one', { skip }, async (t) => {
  const registry = await startRegistry(t);
  const { images } = await startImages(t);
  const late = AbortSignal.timeout(1);
  await delay(5);
  await assert.rejects(
    images.puller.pull(`${registry.host}/app:v1`, { signal: late }),
    (error) =>
      error instanceof DOMException && error.name === 'TimeoutError' && !isKind(error, 'unknown'),
  );
});
