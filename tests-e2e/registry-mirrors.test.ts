import assert from 'node:assert/strict';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { messageOf } from '@gantry/errors';
import { run } from '@gantry/host';
import { type KeyPair, type Mirror, makeKeyPair, startMirror } from './harness/mirror.ts';
import { type Registry, startRegistry } from './harness/registry.ts';
import { type RegistryProxy, startRegistryProxy } from './harness/registry-proxy.ts';
import { imageLayout } from './harness/run-dir.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { startInTerminal } from './harness/terminal.ts';
import { until } from './harness/until.ts';

// Every key of hosts.toml, by real pulls; the file is read at each of them.

const image = 'registry.example/lib/busybox:1';

let stack: Stack;
let registry: Registry;
let proxy: RegistryProxy;
let one: Mirror;
let two: Mirror;
let layer: string;
before(async () => {
  registry = await startRegistry();
  await registry.push(imageLayout('busybox'), 'lib/busybox:1');
  proxy = await startRegistryProxy(registry.host);
  one = await startMirror({ registry: registry.host });
  two = await startMirror({ registry: registry.host });
  stack = await startStack({ busybox: false });
  const accept = 'application/vnd.oci.image.manifest.v1+json';
  const url = `http://${registry.host}/v2/lib/busybox/manifests/1`;
  const manifest = (await (await fetch(url, { headers: { accept } })).json()) as {
    layers: { digest: string }[];
  };
  layer = String(manifest.layers[0]?.digest);
});
after(async () => {
  await stack[Symbol.asyncDispose]();
  for (const server of [one, two, proxy, registry]) {
    await server[Symbol.asyncDispose]();
  }
});
beforeEach(async () => {
  await stack.images.removeImage({ image: { image } });
  await stack.gantryOk('image', 'prune');
  for (const mirror of [one, two]) {
    mirror.forget();
    mirror.spoil();
  }
  await rm(join(stack.dir, 'certs.d'), { recursive: true, force: true });
});

const pull = async (name = image) =>
  (await stack.images.pullImage({ image: { image: name } })).imageRef;
async function configure(host: string, text: string): Promise<void> {
  const dir = join(stack.dir, 'certs.d', host);
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'hosts.toml'), text);
}
const kindsOf = (mirror: Mirror) =>
  new Set(mirror.asked.map(({ path }) => (path.includes('/manifests/') ? 'manifest' : 'blob')));

test('each host is asked for what its capabilities say, in order, with the name of the registry', async () => {
  await configure(
    'registry.example',
    `server = "http://${registry.host}"
     [host."http://${one.host}"]
       capabilities = ["resolve"]
     [host."http://${two.host}"]
       capabilities = ["pull"]
       [host."http://${two.host}".header]
         x-lab = ["a", "b"]`,
  );
  assert.match(await pull(), /^sha256:/);
  assert.deepEqual([kindsOf(one), kindsOf(two)], [new Set(['manifest']), new Set(['blob'])]);
  for (const { path } of [...one.asked, ...two.asked]) {
    assert.ok(path.endsWith('?ns=registry.example'), path);
  }
  assert.ok(two.asked.every(({ headers }) => headers['x-lab'] === 'a, b'));
  assert.ok(one.asked.every(({ headers }) => headers['x-lab'] === undefined));
});

test('without a file of its own a registry has that of _default', async () => {
  await configure('_default', `[host."http://${one.host}"]`);
  assert.match(await pull('other.example:5000/lib/busybox:1'), /^sha256:/);
  assert.ok(one.asked.every(({ path }) => path.endsWith('?ns=other.example%3A5000')));
  await configure('other.example_5000_', `[host."http://${two.host}"]`);
  assert.match(await pull('other.example:5000/lib/busybox:1'), /^sha256:/);
  assert.deepEqual(kindsOf(two), new Set(['manifest']));
  await stack.images.removeImage({ image: { image: 'other.example:5000/lib/busybox:1' } });
});

test('a mirror with a path of its own, its authority and a client certificate', async (t) => {
  const dir = join(stack.dir, 'keys');
  await mkdir(dir, { recursive: true });
  const [server, client] = [await makeKeyPair(dir, 'server'), await makeKeyPair(dir, 'client')];
  await using mirror = await startMirror({
    registry: registry.host,
    prefix: '/mirrors/lab',
    tls: { server, client },
  });
  const file = (keys: string) => `server = "http://127.0.0.1:1"
     [host."https://${mirror.host}/mirrors/lab/v2"]
       override_path = true
       ${keys}`;
  const ca = `ca = "${server.certFile}"`;
  const attempt = async (keys: string): Promise<string> => {
    await configure('registry.example', file(keys));
    return pull().then(() => 'pulled', messageOf);
  };
  assert.match(
    await attempt(clientOf(client)),
    new RegExp(`${mirror.host}: self-signed certificate: name its authority by ca in .*\\)$`),
  );
  assert.match(
    await attempt(ca),
    new RegExp(`before that, ${mirror.host}: TLS: .*certificate required`),
  );
  assert.equal(mirror.asked.length, 0);
  assert.equal(await attempt(`${ca}\n${clientOf(client)}`), 'pulled');
  assert.match(mirror.asked[0]?.path ?? '', /^\/mirrors\/lab\/v2\/lib\/busybox\/manifests\/1\?ns=/);
  t.diagnostic(`${mirror.asked.length} requests`);

  // One file with both, found beside hosts.toml.
  await stack.images.removeImage({ image: { image } });
  const both = join(stack.dir, 'certs.d/registry.example/both.pem');
  await writeFile(
    both,
    `${await readFile(client.certFile, 'utf8')}${await readFile(client.keyFile, 'utf8')}`,
  );
  assert.equal(await attempt('skip_verify = true\nclient = "both.pem"'), 'pulled');
});

function clientOf({ certFile, keyFile }: KeyPair): string {
  return `client = [["${certFile}", "${keyFile}"]]`;
}

test('a host that is silent is left after its dial_timeout', async (t) => {
  // What is sent there is gone.
  const rule = ['INPUT', '--destination', '127.66.0.1', '--jump', 'DROP'];
  assert.equal((await run('iptables', ['--append', ...rule])).exitCode, 0);
  t.after(() => run('iptables', ['--delete', ...rule]));
  await configure(
    'registry.example',
    `server = "http://${registry.host}"
     [host."http://127.66.0.1:5000"]
       dial_timeout = "200ms"`,
  );
  const begun = performance.now();
  assert.match(await pull(), /^sha256:/);
  // The default is 30 s.
  assert.ok(performance.now() - begun < 25_000);
  const log = await readFile(join(stack.stateDir, 'log/image-service.log'), 'utf8');
  assert.match(log, /"host":"127\.66\.0\.1:5000".*connection timed out.*passed over/);
});

test('wrong bytes of a mirror are told in log and trace, and come from the next host', async () => {
  await configure('registry.example', `server = "http://${two.host}"\n[host."http://${one.host}"]`);
  one.spoil(layer);
  assert.match(await pull(), /^sha256:/);
  const log = await readFile(join(stack.stateDir, 'log/image-service.log'), 'utf8');
  const line = log.split('\n').findLast((text) => text.includes('passed over')) ?? '';
  const { image: name, host, error } = JSON.parse(line) as Record<string, string>;
  assert.deepEqual([name, host], [image, one.host]);
  assert.match(error ?? '', new RegExp(`blob ${layer}: its content has the digest sha256:`));
  const told = new RegExp(`registry\\.pass_over[^!]*! ${one.host}: blob ${layer}: `);
  await until(
    'the trace is written',
    () => stack.gantryOk('trace', 'PullImage'),
    (trace) => told.test(trace),
  );

  await stack.images.removeImage({ image: { image } });
  two.spoil(layer);
  await assert.rejects(pull(), {
    kind: 'failed-precondition',
    message: new RegExp(`registry host ${two.host} sent wrong.*before that, ${one.host}: `),
  });
  const { images } = await stack.images.listImages({});
  assert.ok(images.every(({ repoTags }) => !repoTags.includes(image)));
});

test('gantry pull paints a bar for each layer on a terminal, and takes them away', async (t) => {
  const name = `${proxy.host}/lib/busybox:1`;
  proxy.hold(layer, 200_000);
  const gantry = join(dirname(import.meta.dirname), 'gantry');
  const terminal = startInTerminal(t, gantry, ['pull', '--config', stack.configFile, name]);
  const short = layer.slice('sha256:'.length, 'sha256:'.length + 12);
  await terminal.output.until(new RegExp(`${short}  \\[=+ +\\]  [\\d.]+kB of [\\d.]+[kM]B`));
  assert.match(await stack.gantryOk('image', 'pulls'), new RegExp(`${name} +0 of 1`));
  proxy.release();
  assert.equal(await terminal.exitCode, 0);
  // The bars are wiped before the last word.
  await terminal.output.until('\x1b[1A\x1b[JImage is up to date for sha256:');
  await stack.images.removeImage({ image: { image: name } });
});
