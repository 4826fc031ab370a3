import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
// oxlint-disable-next-line no-restricted-imports -- the package's own entry for tests
import { tarOf } from '@gantry/tar/testing';
import { makeImage, type TestImage } from '../testing/test-image.ts';
import { signal, startImages } from '../testing/test-images.ts';
import { cutAfter, flipBit, type ProxyExchange, startProxy } from '../testing/test-proxy.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';

const skip = cannotRun;
const content = randomBytes(300_000);
const image = makeImage({
  layers: [[{ path: 'small', data: 'x' }], [{ path: 'big', data: content }]],
});
const [small = '', layer = ''] = image.layerDigests;
const size = image.blobs.get(image.layerDigests[1] ?? image.id)?.length ?? 0;
const name = 'r.example/app:v1';

type Spoil = (exchange: ProxyExchange, bad: string) => void;

/** A registry that has the image, before which stand a mirror for each `spoil`, and the upstream. */
async function behindMirrors(
  t: TestContext,
  spoils: readonly Spoil[],
  {
    bad = layer,
    own = {},
    what = image,
  }: { bad?: string; own?: Record<string, unknown>; what?: TestImage } = {},
) {
  const registry = await startRegistry(t);
  await registry.push(what, 'app', 'v1');
  const mirrors = [];
  for (const spoil of spoils) {
    const handle = (exchange: ProxyExchange): void =>
      exchange.path.includes(bad) ? spoil(exchange, bad) : exchange.forward();
    mirrors.push(await startProxy(t, registry.host, handle));
  }
  const upstream = await startProxy(t, registry.host);
  const service = await startImages(t, { images: own });
  const tables = mirrors.map(({ host }) => `[host."http://${host}"]`);
  service.configureHost('r.example', [`server = "http://${upstream.host}"`, ...tables].join('\n'));
  const hosts = [...mirrors, upstream].map(({ host }) => host);
  return {
    service,
    mirrors,
    upstream,
    hosts,
    pull: () => service.images.puller.pull(name, { signal }),
  };
}

const page = '<html><body>Log in to go on</body></html>';
const flip: Spoil = ({ forward }) => forward(flipBit);
const sendPage: Spoil = ({ response }) => void response.writeHead(200).end(page);

const wrongs: [what: string, spoil: Spoil, told: RegExp][] = [
  ['other bytes', flip, /its content has the digest sha256:/],
  [
    'a page, with its length',
    ({ response }) => void response.writeHead(200, { 'content-length': page.length }).end(page),
    /: 41 bytes where its manifest tells \d+$/,
  ],
  ['a page, in chunks', sendPage, /: 41 bytes where its manifest tells \d+$/],
  [
    'too much',
    ({ response }) => void response.writeHead(200).end(randomBytes(size + 1)),
    /: more than the \d+ bytes/,
  ],
  [
    'as much of something else',
    ({ response }) => void response.writeHead(200).end(randomBytes(size)),
    /its content has the digest sha256:/,
  ],
  [
    'half of it, over and over',
    ({ request, forward }) => {
      delete request.headers['range'];
      forward(cutAfter(size >> 1));
    },
    /broke off blob sha256:\w+ after \d+ of \d+ bytes/,
  ],
  [
    'another range than asked for',
    ({ request, response, forward }) => {
      if (request.headers.range === undefined) {
        forward(cutAfter(1000));
      } else {
        response.writeHead(206, { 'content-range': `bytes 0-9/${size}` }).end('0123456789');
      }
    },
    /another range/,
  ],
];
for (const [what, spoil, told] of wrongs) {
  // Where what comes is kept, it must go with whoever sent it.
  const isKept = what === 'other bytes' || what.startsWith('half');
  for (const resume_min_bytes of isKept ? [0, 1] : [0]) {
    test(`of a mirror that sends ${what} the next host is asked, and all are told (${resume_min_bytes})`, {
      skip,
    }, async (t) => {
      const { service, mirrors, upstream, pull } = await behindMirrors(t, [spoil], {
        own: { resume_min_bytes },
      });
      const [mirror] = mirrors;
      assert.ok(mirror !== undefined);
      assert.equal(await pull(), image.id);
      // It is asked for everything else.
      assert.deepEqual(
        upstream.requests.map((request) => request.split(' ')[1]),
        [`/v2/app/blobs/${layer}`],
      );
      assert.ok(mirror.requests.some((request) => request.includes(small)));
      assert.deepEqual(service.warnings, ['a registry host was passed over']);
      const [warned] = service.warned as { image: string; host: string; error: string }[];
      assert.deepEqual([warned?.image, warned?.host], [name, mirror.host]);
      assert.match(warned?.error ?? '', told);
      assert.deepEqual((await service.remains()).temporary, []);
    });
  }
}

test('a config that a mirror has wrong comes from the next host', { skip }, async (t) => {
  const { upstream, pull } = await behindMirrors(t, [flip, sendPage], { bad: image.id });
  assert.equal(await pull(), image.id);
  assert.deepEqual(upstream.requests, [`GET /v2/app/blobs/${image.id}`]);
});

test('what a mirror has sent before it broke off is not held against the next', {
  skip,
}, async (t) => {
  const breaks: Spoil = ({ request, response }) => {
    delete request.headers['range'];
    response.writeHead(200, { 'content-length': size });
    response.write(randomBytes(1000), () => response.destroy());
  };
  const { upstream, pull } = await behindMirrors(t, [breaks]);
  assert.equal(await pull(), image.id);
  assert.deepEqual(upstream.requests, [
    `GET /v2/app/blobs/${layer} bytes=1000-`,
    `GET /v2/app/blobs/${layer}`,
  ]);
});

test('a pull shows which hosts it has passed over, while it runs', { skip }, async (t) => {
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const { promise: going, resolve: go } = Promise.withResolvers<void>();
  const waits: Spoil = ({ forward }) => {
    begin();
    void going.then(() => forward());
  };
  const { service, hosts, pull } = await behindMirrors(t, [flip, waits]);
  const pulled = pull();
  await begun;
  const [report] = await service.images.board.list();
  assert.equal(report?.passedOver.length, 1);
  assert.ok(report.passedOver[0]?.startsWith(`${hosts[0]}: blob ${layer}: its content has`));
  go();
  assert.equal(await pulled, image.id);
});

test('a blob that nobody has right fails the pull, and the error names each host', {
  skip,
}, async (t) => {
  const bad = (exchange: ProxyExchange): void => flip(exchange, layer);
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const spoiled = (spoil: Spoil) =>
    startProxy(t, registry.host, (exchange) =>
      exchange.path.includes(layer) ? spoil(exchange, layer) : exchange.forward(),
    );
  const [one, two, upstream] = [await spoiled(bad), await spoiled(sendPage), await spoiled(bad)];
  const { images, remains, configureHost } = await startImages(t);
  configureHost(
    'r.example',
    `server = "http://${upstream.host}"\n[host."http://${one.host}"]\n[host."http://${two.host}"]`,
  );
  const digest = `blob ${layer}: its content has the digest sha256:\\w+`;
  const short = `blob ${layer}: 41 bytes where its manifest tells ${size}`;
  await assert.rejects(images.puller.pull(name, { signal }), {
    kind: 'failed-precondition',
    message: new RegExp(
      `^pull image ${name}: registry host ${upstream.host} sent wrong content: ${digest} ` +
        `\\(before that, ${one.host}: ${digest}; ${two.host}: ${short}\\)$`,
    ),
  });
  assert.deepEqual([(await remains()).temporary, (await remains()).blobs], [[], []]);
  assert.deepEqual(images.store.images.list(), []);
});

/** Of a layer of 300,000 random bytes, in 64 MiB of zeros or a flood of entries. */
const flood = gzipSync(tarOf(Array.from({ length: 1001 }, (_, i) => ({ path: `f${i}` }))));
const bombs: [what: string, limits: object, send: (response: ServerResponse) => void][] = [
  [
    'a bomb',
    { max_layer_bytes: 1 << 20 },
    (response) => response.end(gzipSync(Buffer.alloc(64 << 20))),
  ],
  [
    'a bomb of the right length',
    { max_layer_bytes: 1 << 20 },
    (response) =>
      response.end(Buffer.concat([gzipSync(Buffer.alloc(64 << 20)), randomBytes(size)], size)),
  ],
  ['too many entries', { max_layer_entries: 1000 }, (response) => response.end(flood)],
  [
    'zeros without end',
    { max_layer_bytes: 1 << 20 },
    (response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(1 << 16))) {
          // As much as the connection takes.
        }
      };
      response.on('drain', more);
      more();
    },
  ],
];
for (const [what, limits, send] of bombs) {
  for (const resume_min_bytes of [0, 1]) {
    test(`a mirror that sends ${what} keeps no layer from coming (${resume_min_bytes})`, {
      skip,
    }, async (t) => {
      const spoil: Spoil = ({ response }) => send(response.writeHead(200));
      const own = { limits, resume_min_bytes };
      const { service, mirrors, upstream, pull } = await behindMirrors(t, [spoil], { own });
      assert.equal(await pull(), image.id);
      const ofLayer = (requests: readonly string[]) =>
        requests.filter((request) => request.includes(layer));
      assert.deepEqual([mirrors[0]?.requests ?? [], upstream.requests].map(ofLayer), [
        [`GET /v2/app/blobs/${layer}?ns=r.example`],
        [`GET /v2/app/blobs/${layer}`],
      ]);
      assert.deepEqual(service.warnings, ['a registry host was passed over']);
      assert.deepEqual((await service.remains()).temporary, []);
    });
  }
}

test('a layer that is beyond a limit by itself comes from no second host', { skip }, async (t) => {
  const forward: Spoil = (exchange) => exchange.forward();
  const { mirrors, upstream, pull } = await behindMirrors(t, [forward, forward], {
    own: { limits: { max_layer_bytes: 300_000 } },
    what: makeImage({
      layers: [[{ path: 'f', data: Buffer.alloc(1 << 20) }]],
      compression: 'gzip',
    }),
  });
  await assert.rejects(pull(), {
    kind: 'resource-exhausted',
    message:
      /^pull image [^:]+:v1: layer sha256:\w+: more than 300000 bytes when uncompressed: the limit/,
  });
  const blobs = [...mirrors, upstream].map(({ requests }) => requests.length);
  // Manifest, config and layer.
  assert.deepEqual(blobs, [3, 0, 0]);
});

test('a mirror is not blamed for what the image itself has wrong', { skip }, async (t) => {
  const liar = makeImage({
    layers: [[{ path: 'f', data: 'x' }]],
    patch: ({ config }) =>
      Object.assign(config, { rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] } }),
  });
  const { service, upstream, pull } = await behindMirrors(t, [flip], {
    bad: 'nothing',
    what: liar,
  });
  await assert.rejects(pull(), { message: /uncompressed content is sha256:/ });
  assert.deepEqual([upstream.requests, service.warnings], [[], []]);
});

test('a host that gives no answer is asked once, and last from then on', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  let asked = 0;
  const dead = await startProxy(t, registry.host, ({ request }) => {
    asked += 1;
    request.socket.destroy();
  });
  const { images, configureHost, warned } = await startImages(t);
  configureHost('r.example', `server = "http://${registry.host}"\n[host."http://${dead.host}"]`);
  assert.equal(await images.puller.pull(name, { signal }), image.id);
  // Each try of the one request.
  assert.equal(asked, 4);
  assert.deepEqual(
    warned.map((fields) => (fields as { host: string }).host),
    [dead.host],
  );
});
