import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { cannotCertify, makeCertificate } from '../testing/test-certificate.ts';
import { makeImage } from '../testing/test-image.ts';
import { signal, startImages } from '../testing/test-images.ts';
import { startProxy } from '../testing/test-proxy.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';

const skip = cannotRun || cannotCertify;
const image = makeImage({ layers: [[{ path: 'f', data: 'x' }]] });

/** A registry that serves its images by plain HTTP and by TLS, and a service without a hosts.toml. */
async function start(t: TestContext) {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const certificate = makeCertificate(t);
  const service = await startImages(t);
  const pull = (host: string) => service.images.puller.pull(`${host}/app:v1`, { signal });
  return {
    plain: registry.host,
    tls: await registry.serveTls(certificate),
    certificate,
    service,
    pull,
  };
}

/** Passes bytes on to a host that may change; tells how each connection began: 22 is TLS. */
async function startSwitch(t: TestContext) {
  const seen: number[] = [];
  const sockets = new Set<Socket>();
  let target: string[] = [];
  const server = createServer((socket) => {
    const [host, port] = target;
    const onward = createConnection({ host, port: Number(port) });
    sockets.add(socket);
    socket.once('data', (chunk) => seen.push(chunk[0] ?? 0));
    socket.pipe(onward).pipe(socket);
    socket.on('error', () => onward.destroy());
    onward.on('error', () => socket.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const hangUp = (): void => {
    for (const socket of sockets) {
      socket.destroy();
    }
  };
  t.after(() => {
    hangUp();
    server.close();
  });
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return {
    host: `127.0.0.1:${address.port}`,
    seen,
    /** As if another server had been started in the place of the one before. */
    turnTo: (host: string): void => {
      target = host.split(':');
      hangUp();
    },
  };
}

test('a registry on this host may speak either, and is tried by TLS once', { skip }, async (t) => {
  const { plain, tls, pull } = await start(t);
  const front = await startSwitch(t);
  front.turnTo(plain);
  assert.equal(await pull(front.host), image.id);
  assert.equal(await pull(front.host), image.id);
  const [first, ...others] = front.seen;
  assert.equal(first, 22);
  assert.deepEqual([others.length > 0, others.filter((byte) => byte === 22)], [true, []]);
  // A certificate that nobody vouches for is as good as none.
  assert.equal(await pull(tls), image.id);
});

test('what has been learnt of a registry on this host is no hindrance once it changes', {
  skip,
}, async (t) => {
  const { plain, tls, pull } = await start(t);
  const front = await startSwitch(t);
  for (const target of [plain, tls, plain, tls]) {
    front.turnTo(target);
    assert.equal(await pull(front.host), image.id, target);
  }
});

test('a refusal by a plain registry on this host is what the error tells', { skip }, async (t) => {
  const { plain, pull } = await start(t);
  const proxy = await startProxy(t, plain, ({ response }) => void response.writeHead(403).end());
  for (const _ of [1, 2]) {
    await assert.rejects(pull(proxy.host), { message: /answered 403$/ });
  }
});

test('the wrong scheme in a hosts.toml is told, and what to write there', { skip }, async (t) => {
  const { plain, tls, pull, service } = await start(t);
  const file = join(service.directory, 'certs.d/r.example/hosts.toml');
  service.configureHost('r.example', `server = "https://${plain}"`);
  const wrong = (host: string, is: string, was: string, line: string) => ({
    kind: 'failed-precondition',
    message:
      `pull image r.example/app:v1: fetch manifest v1: ` +
      `registry host ${host} speaks ${is}, and was asked by ${was}: write ${line} in ${file}`,
  });
  await assert.rejects(
    pull('r.example'),
    wrong(plain, 'plain HTTP', 'HTTPS', `server = "http://${plain}"`),
  );
  service.configureHost('r.example', `server = "http://${tls}/v2/"`);
  await assert.rejects(
    pull('r.example'),
    wrong(tls, 'HTTPS', 'plain HTTP', `server = "https://${tls}"`),
  );
  // A mirror has another line, and costs no pull.
  service.configureHost(
    'r.example',
    `server = "http://${plain}"\n[host."http://${tls}"]\n[host."https://${plain}"]`,
  );
  assert.equal(await pull('r.example'), image.id);
  const told = (service.warned as { error: string }[]).map(({ error }) => error);
  assert.deepEqual(told, [
    `registry host ${tls} speaks HTTPS, and was asked by plain HTTP: write [host."https://${tls}"] in ${file}`,
    `registry host ${plain} speaks plain HTTP, and was asked by HTTPS: write [host."http://${plain}"] in ${file}`,
  ]);
});

test('a plain URL with settings for TLS serves either', { skip }, async (t) => {
  const { plain, tls, certificate, pull, service } = await start(t);
  for (const host of [plain, tls]) {
    const server = `server = "http://127.0.0.1:1"\n[host."http://${host}"]`;
    service.configureHost('r.example', `${server}\nca = "${certificate.caFile}"`);
    assert.equal(await pull('r.example'), image.id, host);
  }
  // And it is held to them.
  service.configureHost('r.example', `server = "http://${tls}"\nskip_verify = false`);
  await assert.rejects(pull('r.example'), { message: /self-signed certificate/ });
});
