import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
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

const answers: [name: string, handle: (exchange: ProxyExchange) => void, why: RegExp][] = [
  [
    'HTML where a manifest belongs',
    ({ path, response, forward }) =>
      path.includes('manifests')
        ? void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Log in</html>')
        : forward(),
    /manifest .*: not JSON/,
  ],
  [
    'HTML with a 403',
    ({ response }) => void response.writeHead(403).end('<html><body>corporate proxy'),
    /registry host 127\.0\.0\.1:\d+ answered 403/,
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
    /sent more than 8388608 bytes/,
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
    /blob sha256:\w+: more than the \d+ bytes that its manifest tells/,
  ],
  ['no answer at all', () => undefined, /^RegistryUnavailable: .*no byte came for 0\.5 s/],
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
    /broke off blob sha256:\w+ after 10 of \d+ bytes/,
  ],
];
for (const [name, handle, why] of answers) {
  test(`a registry that sends ${name} is an error, and leaves nothing`, { skip }, async (t) => {
    // Of the one that never answers at all, on a host however slow.
    const own = name === 'no answer at all' ? { pull_progress_timeout_ms: 500 } : {};
    const { pull, service } = await behind(t, handle, own);
    await assert.rejects(pull(), { message: why });
    assert.deepEqual(await service.remains(), nothingLeft);
  });
}

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
