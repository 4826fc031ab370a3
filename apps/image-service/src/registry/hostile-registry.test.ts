import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { mediaTypes } from '@gantry/oci';
import { digestOfBytes, makeImage } from '../testing/test-image.ts';
import { signal, startImages, temporaryDirectory } from '../testing/test-images.ts';
import { type ProxyExchange, startProxy } from '../testing/test-proxy.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';

const skip = cannotRun;
const image = makeImage({ layers: [[{ path: 'f', data: 'x'.repeat(5000) }]] });
const [layer = ''] = image.layerDigests;
const nothingLeft = { temporary: [], layers: [], blobs: [] };

/** A registry that has the image, behind what `handle` makes of it. */
async function behind(t: TestContext, handle: (exchange: ProxyExchange) => void, own = {}) {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const proxy = await startProxy(t, registry.host, handle);
  const service = await startImages(t, { images: own });
  return {
    proxy,
    service,
    pull: () => service.images.puller.pull(`${proxy.host}/app:v1`, { signal }),
  };
}

test('a registry that answers 429 is asked again when it says, in seconds or by date', {
  skip,
}, async (t) => {
  const waits = ['1', new Date(Date.now() + 1000).toUTCString(), 'soon'];
  const { pull, proxy } = await behind(t, ({ path, response, forward }) => {
    const wait = path.includes('manifests') ? waits.shift() : undefined;
    if (wait === undefined) {
      forward();
    } else {
      response.writeHead(429, { 'retry-after': wait }).end('slow down');
    }
  });
  const begun = Date.now();
  assert.equal(await pull(), image.id);
  assert.ok(Date.now() - begun >= 990, 'it waited');
  assert.equal(proxy.requests.filter((request) => request.includes('manifests')).length, 4);
});

/** Sends something 50 times a second for as long as anybody listens. */
function trickle(response: ServerResponse, more: () => unknown, begin = ''): void {
  response.socket?.write(begin);
  const timer = setInterval(more, 20);
  response.on('close', () => clearInterval(timer));
}

const answers: [
  name: string,
  handle: (exchange: ProxyExchange) => void,
  why: RegExp,
  ends?: 'by time',
][] = [
  [
    'HTML where a manifest belongs',
    ({ path, response, forward }) =>
      path.includes('manifests')
        ? void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Log in</html>')
        : forward(),
    /: fetch manifest v1: registry host 127\.0\.0\.1:\d+: manifest sha256:\w+: not JSON$/,
  ],
  [
    'HTML with a 403',
    ({ response }) => void response.writeHead(403).end('<html><body>corporate proxy'),
    /registry host 127\.0\.0\.1:\d+ answered 403$/,
  ],
  [
    'plain words with a 400, as Go does to HTTP where it speaks TLS',
    ({ response }) =>
      void response
        .writeHead(400, { 'content-type': 'text/plain; charset=utf-8' })
        .end('Client sent an HTTP request\u001b[2J to an HTTPS server.\n'),
    /registry host 127\.0\.0\.1:\d+ answered 400: Client sent an HTTP request \[2J to an HTTPS server\.$/,
  ],
  [
    'a manifest without end',
    ({ path, response, forward }) => {
      if (!path.includes('manifests')) {
        forward();
        return;
      }
      response.writeHead(200, { 'content-type': mediaTypes.ociManifest });
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(1 << 20, ' '))) {
          // As much as the connection takes.
        }
      };
      response.on('drain', more);
      more();
    },
    /: fetch manifest v1: registry host 127\.0\.0\.1:\d+ sent more than 8388608 bytes$/,
  ],
  [
    'a layer without end',
    ({ path, response, forward }) => {
      if (path.includes(layer)) {
        response.writeHead(200);
        response.end(Buffer.alloc(1 << 20));
      } else {
        forward();
      }
    },
    /: registry host 127\.0\.0\.1:\d+ sent wrong content: blob sha256:\w+: more than the \d+ bytes that its manifest tells$/,
  ],
  [
    'no answer at all',
    () => undefined,
    /^RegistryUnavailable: .*: fetch manifest v1: registry host 127\.0\.0\.1:\d+: no byte came for [\d.]+ s$/,
    'by time',
  ],
  [
    'headers that never end',
    ({ response }) =>
      trickle(response, () => response.socket?.write('x'), 'HTTP/1.1 200 OK\r\nx-more: '),
    /^RegistryUnavailable: .*: fetch manifest v1: registry host 127\.0\.0\.1:\d+: no byte came for [\d.]+ s$/,
    'by time',
  ],
  [
    'a manifest byte by byte',
    ({ path, response, forward }) =>
      path.includes('manifests') ? trickle(response, () => response.write(' ')) : forward(),
    /^RegistryUnavailable: .*: fetch manifest v1: registry host 127\.0\.0\.1:\d+: only \d+ bytes came in [\d.]+ s$/,
    'by time',
  ],
  [
    'a layer byte by byte',
    ({ path, response, forward }) =>
      path.includes(layer) ? trickle(response, () => response.write('x')) : forward(),
    /^RegistryUnavailable: .*: registry host 127\.0\.0\.1:\d+ broke off blob sha256:\w+ after \d+ of \d+ bytes: only \d+ bytes came in [\d.]+ s$/,
    'by time',
  ],
  [
    'a layer whose end never comes',
    ({ path, response, forward }) =>
      path.includes(layer) ? void response.writeHead(200).write('xxx') : forward(),
    /^RegistryUnavailable: .*: registry host 127\.0\.0\.1:\d+ broke off blob sha256:\w+ after 3 of \d+ bytes: no byte came for [\d.]+ s$/,
    'by time',
  ],
  [
    'a layer shorter than its Content-Length',
    ({ path, response, forward }) => {
      if (path.includes(layer)) {
        response.writeHead(200, { 'content-length': 4000 });
        response.write('x', () => response.destroy());
      } else {
        forward();
      }
    },
    /broke off blob|its content has the digest|more than the/,
  ],
  [
    'a Content-Length that is less than there is',
    ({ path, response, forward }) => {
      if (path.includes(layer)) {
        response.writeHead(200, { 'content-length': 10 });
        response.end('0123456789');
      } else {
        forward();
      }
    },
    /: registry host 127\.0\.0\.1:\d+ sent wrong content: blob sha256:\w+: 10 bytes where its manifest tells \d+$/,
  ],
];
/** A host that is held up for as long finds other answers late than the one that is: it gets more time. */
const late = /: (no byte came for|only \d+ bytes came in) /;

for (const [name, handle, why, ends] of answers) {
  test(`a registry that sends ${name} is an error, and leaves nothing`, { skip }, async (t) => {
    for (const pull_progress_timeout_ms of ends === 'by time' ? [500, 2000, 8000] : [60_000]) {
      const { pull, service } = await behind(t, handle, { pull_progress_timeout_ms });
      const error = await pull().catch((cause: unknown) => cause);
      assert.deepEqual(await service.remains(), nothingLeft);
      const message = error instanceof Error ? error.message : 'pulled';
      if (why.test(message) || !late.test(message) || pull_progress_timeout_ms >= 8000) {
        assert.match(message, why);
        return;
      }
    }
  });
}

test('a layer that has come is whole, whatever length its answer promised', { skip }, async (t) => {
  const { pull } = await behind(t, ({ path, forward }) =>
    forward((answer, response) => {
      const { 'content-length': length, ...headers } = answer.headers;
      const more = path.includes(layer) ? 100 : 0;
      response.writeHead(answer.statusCode ?? 500, {
        ...headers,
        'content-length': Number(length) + more,
      });
      answer.pipe(response, { end: more === 0 });
    }),
  );
  assert.equal(await pull(), image.id);
});

test('a mirror that answers with a page of its own is passed over', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const portal = await startProxy(
    t,
    registry.host,
    ({ response }) =>
      void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Log in</html>'),
  );
  const { images, configureHost } = await startImages(t);
  configureHost(
    registry.host,
    `server = "http://${registry.host}"\n[host."http://${portal.host}"]\n`,
  );
  assert.equal(await images.puller.pull(`${registry.host}/app:v1`, { signal }), image.id);
  assert.equal(portal.requests.filter((request) => request.includes('manifests')).length, 1);
});

test('indexes in indexes are followed only so far', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  let [bytes, type]: [Buffer, string] = [image.manifest, image.manifestType];
  const nest = async (depth: number): Promise<void> => {
    const manifests = [{ mediaType: type, digest: digestOfBytes(bytes), size: bytes.length }];
    bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }),
    );
    type = mediaTypes.ociIndex;
    await registry.pushManifest(bytes, type, 'app', `deep-${depth}`);
  };
  for (let depth = 1; depth <= 5; depth++) {
    await nest(depth);
  }
  const { images } = await startImages(t);
  assert.equal(await images.puller.pull(`${registry.host}/app:deep-3`, { signal }), image.id);
  await assert.rejects(images.puller.pull(`${registry.host}/app:deep-5`, { signal }), {
    kind: 'failed-precondition',
    message: /indexes nested too deeply/,
  });
});

test('a replica that dies in mid-pull leaves the pull to the one that waits', {
  skip,
}, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  let hold = true;
  const proxy = await startProxy(t, registry.host, ({ path, response, forward }) => {
    if (hold && path.includes(layer)) {
      response.writeHead(200);
      response.write(Buffer.from([0x1f]), () => begin());
    } else {
      forward();
    }
  });
  const directory = temporaryDirectory(t);
  const name = `${proxy.host}/app:v1`;
  const program = fileURLToPath(new URL('../testing/pull-once.ts', import.meta.url));
  const other = spawn(process.execPath, [program, directory, name], { stdio: 'ignore' });
  t.after(() => other.kill('SIGKILL'));
  await begun;
  hold = false;
  const { images } = await startImages(t, { directory });
  const pull = images.puller.pull(name, { signal });
  // It can't come to an end while the other has its lock.
  assert.equal(
    await Promise.race([pull, new Promise((r) => setTimeout(r, 200, 'waiting'))]),
    'waiting',
  );
  other.kill('SIGKILL');
  await once(other, 'exit');
  assert.equal(await pull, image.id);
});
