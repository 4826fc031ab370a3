import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { findEndpoints } from './find-endpoints.ts';
import { parseHostsToml } from './hosts-toml.ts';

const fallback = { url: new URL('https://registry.example'), isLocal: false };
const parse = (text: string) => parseHostsToml(text, '/etc/certs.d/r/hosts.toml', fallback);
const bases = (text: string) => parse(text).map(({ base }) => base.href);

test('hosts come in the order of the file, the server last', () => {
  const text = `
    server = "https://upstream.example"
    [host."https://b.example"]
    [host."http://a.example:5000"]
    [host."c.example/prefix/"]`;
  assert.deepEqual(bases(text), [
    'https://b.example/v2',
    'http://a.example:5000/v2',
    'https://c.example/prefix/v2',
    'https://upstream.example/v2',
  ]);
  assert.deepEqual(
    parse(text).map(({ isUpstream }) => isUpstream),
    [false, false, false, true],
  );
});

test('without a server the registry itself comes last', () => {
  assert.deepEqual(bases('[host."https://m"]'), ['https://m/v2', 'https://registry.example/v2']);
});

test('a host that is the registry itself is no mirror, and is asked as the file says alone', () => {
  const seen = (text: string) => parse(text).map(({ base, isUpstream }) => [base.href, isUpstream]);
  // As containerd's documentation has it for a registry with a CA of its own.
  for (const server of ['server = "https://registry.example"\n', '']) {
    const own = seen(`${server}[host."https://registry.example"]\nca = "ca.pem"`);
    assert.deepEqual(own, [['https://registry.example/v2', true]]);
  }
  assert.deepEqual(seen('[host."http://registry.example"]\n[host."https://m"]'), [
    ['http://registry.example/v2', true],
    ['https://m/v2', false],
    ['https://registry.example/v2', true],
  ]);
  assert.deepEqual(seen('[host."https://registry.example"]\ncapabilities = ["pull"]'), [
    ['https://registry.example/v2', true],
    ['https://registry.example/v2', true],
  ]);
});

test('override_path leaves the path alone, and one that ends in v2 is whole', () => {
  assert.deepEqual(
    bases('[host."https://m/custom"]\noverride_path = true\n[host."https://n/x/v2"]'),
    ['https://m/custom', 'https://n/x/v2', 'https://registry.example/v2'],
  );
});

test('every key is understood, in each of its forms', () => {
  const [one, two, server] = parse(`
    ca = "/abs/ca.pem"
    skip_verify = true
    [host."https://one"]
      capabilities = ["pull"]
      ca = ["a.pem", "sub/b.pem"]
      client = [["cert.pem", "key.pem"], "both.pem", ["c.pem", ""]]
      dial_timeout = "1m1.5s"
      something_new = 3
      [host."https://one".header]
        X-One = "1"
        x-many = ["2", "3"]
    [host."https://two"]
      client = "single.pem"`);
  assert.deepEqual([...(one?.capabilities ?? [])], ['pull']);
  assert.deepEqual(one?.caFiles, ['/etc/certs.d/r/a.pem', '/etc/certs.d/r/sub/b.pem']);
  assert.deepEqual(one.clientFiles, [
    { cert: '/etc/certs.d/r/cert.pem', key: '/etc/certs.d/r/key.pem' },
    { cert: '/etc/certs.d/r/both.pem', key: '/etc/certs.d/r/both.pem' },
    { cert: '/etc/certs.d/r/c.pem', key: '/etc/certs.d/r/c.pem' },
  ]);
  assert.equal(one.dialTimeoutMs, 61_500);
  assert.deepEqual(one.headers, { 'x-one': '1', 'x-many': ['2', '3'] });
  assert.equal(one.skipVerify, false);
  assert.equal(two?.clientFiles.length, 1);
  assert.equal(server?.skipVerify, true);
  assert.deepEqual(server.caFiles, ['/abs/ca.pem']);
});

for (const [text, why] of [
  ['server = [', /parse \/etc\/certs\.d\/r\/hosts\.toml/],
  ['skip_verify = "yes"', /skip_verify/],
  ['[host."https://m"]\ncapabilities = ["fly"]', /host\.https:\/\/m\.capabilities/],
  ['[host."https://["]', /is no URL/],
  ['dial_timeout = "soon"', /dial_timeout "soon"/],
] as const) {
  test(`${JSON.stringify(text)} is a fault that names the file`, () => {
    assert.throws(() => parse(text), { kind: 'failed-precondition', message: why });
    assert.throws(() => parse(text), { message: /hosts\.toml/ });
  });
}

function certs(t: TestContext, files: Record<string, string>): string {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-certs-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (const [host, text] of Object.entries(files)) {
    mkdirSync(join(directory, host), { recursive: true });
    writeFileSync(join(directory, host, 'hosts.toml'), text);
  }
  return directory;
}

test('the directory of a host is found under its names, then the default', async (t) => {
  const directory = certs(t, {
    'r.example_5000_': '[host."https://underscore"]',
    'r.example:5000': '[host."https://colon"]',
    _default: '[host."https://default"]',
  });
  const first = async (host: string) => (await findEndpoints(directory, host))[0]?.base.host;
  assert.equal(await first('r.example:5000'), 'underscore');
  rmSync(join(directory, 'r.example_5000_'), { recursive: true });
  assert.equal(await first('r.example:5000'), 'colon');
  assert.equal(await first('other.example'), 'default');
  rmSync(join(directory, '_default'), { recursive: true });
  assert.equal(await first('other.example'), 'other.example');
});

test('a plain URL with settings for TLS and a port is asked by HTTPS first', () => {
  const ways = (text: string) =>
    parse(text).map(({ base, plainBase }) => [base.href, plainBase?.href]);
  const last = ['https://registry.example/v2', undefined];
  for (const setting of ['skip_verify = true', 'ca = "ca.pem"', 'client = "c.pem"']) {
    assert.deepEqual(ways(`[host."http://m:5000"]\n${setting}`), [
      ['https://m:5000/v2', 'http://m:5000/v2'],
      last,
    ]);
    assert.deepEqual(ways(`[host."http://m"]\n${setting}`), [['http://m/v2', undefined], last]);
  }
  assert.deepEqual(ways('[host."http://m:5000"]'), [['http://m:5000/v2', undefined], last]);
});

test('certificates as docker keeps them count where there is no hosts.toml', async (t) => {
  const directory = certs(t, { _default: '[host."https://default"]' });
  const own = join(directory, 'r.example:5000');
  mkdirSync(own);
  const bases = async () =>
    (await findEndpoints(directory, 'r.example:5000')).map(({ base }) => base.host);
  assert.deepEqual(await bases(), ['default', 'r.example:5000']);
  for (const name of ['b.crt', 'a.crt', 'me.cert', 'me.key', 'README']) {
    writeFileSync(join(own, name), '');
  }
  const [endpoint, ...others] = await findEndpoints(directory, 'r.example:5000');
  assert.deepEqual([endpoint?.base.href, others], ['https://r.example:5000/v2', []]);
  assert.deepEqual(endpoint?.caFiles, [join(own, 'a.crt'), join(own, 'b.crt')]);
  assert.deepEqual(endpoint.clientFiles, [
    { cert: join(own, 'me.cert'), key: join(own, 'me.key') },
  ]);
  writeFileSync(join(own, 'hosts.toml'), '[host."https://m"]');
  assert.deepEqual(await bases(), ['m', 'r.example:5000']);
});

test('a registry on this host is checked where a file says how', async (t) => {
  const isLocal = async (toml: string) => {
    const directory = certs(t, { 'localhost:5000': toml });
    return (await findEndpoints(directory, 'localhost:5000')).at(-1)?.isLocal;
  };
  assert.equal(await isLocal('[host."https://m"]'), true);
  assert.equal(await isLocal('ca = "ca.pem"'), false);
  assert.equal(await isLocal('skip_verify = false'), false);
});

for (const [host, base, plainBase] of [
  ['docker.io', 'https://registry-1.docker.io/v2'],
  ['registry.example', 'https://registry.example/v2'],
  ['localhost', 'https://localhost/v2', 'http://localhost/v2'],
  ['localhost:5000', 'https://localhost:5000/v2', 'http://localhost:5000/v2'],
  ['127.0.0.1:5000', 'https://127.0.0.1:5000/v2', 'http://127.0.0.1:5000/v2'],
  ['[::1]:5000', 'https://[::1]:5000/v2', 'http://[::1]:5000/v2'],
  ['127.0.0.1:443', 'https://127.0.0.1/v2'],
  ['127.0.0.1:80', 'http://127.0.0.1/v2'],
  ['localhost.example', 'https://localhost.example/v2'],
  ['10.0.0.1:5000', 'https://10.0.0.1:5000/v2'],
] as const) {
  test(`${host} without a file is asked at ${base}, or ${plainBase}`, async () => {
    const [endpoint] = await findEndpoints('', host);
    assert.deepEqual([endpoint?.base.href, endpoint?.plainBase?.href], [base, plainBase]);
    assert.equal(endpoint?.isLocal, /^(localhost|127[.\d]+|\[::1\])(:\d+)?$/.test(host));
  });
}
