import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeImage } from '../testing/test-image.ts';
import { signal, startImages } from '../testing/test-images.ts';
import { startProxy } from '../testing/test-proxy.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';
import { parseChallenge } from './challenge.ts';
import { parseCredentials } from './parse-credentials.ts';

const skip = cannotRun;
const image = makeImage({ layers: [[{ path: 'f', data: 'x' }]] });
const none = { username: '', password: '', identityToken: '', registryToken: '' };
const user = { ...none, username: 'u', password: 'secret' };
const basic = `Basic ${Buffer.from('u:secret').toString('base64')}`;

test('challenges are read in every spelling', () => {
  assert.deepEqual(
    parseChallenge('Bearer realm="https://a/t?x=1,2",service="s",scope="repository:a/b:pull,push"'),
    {
      scheme: 'bearer',
      realm: 'https://a/t?x=1,2',
      service: 's',
      scope: 'repository:a/b:pull,push',
    },
  );
  assert.deepEqual(parseChallenge('bearer Realm=https://a'), {
    scheme: 'bearer',
    realm: 'https://a',
    service: '',
    scope: '',
  });
  assert.deepEqual(parseChallenge('Basic realm="x"'), { scheme: 'basic' });
  assert.equal(parseChallenge('Bearer service="no realm"'), undefined);
  assert.equal(parseChallenge('Negotiate'), undefined);
  assert.equal(parseChallenge(undefined), undefined);
});

const auth = {
  username: '',
  password: '',
  auth: '',
  serverAddress: '',
  identityToken: '',
  registryToken: '',
};

test('credentials are read in every form', () => {
  const pair = Buffer.from('u:se:cret\0\0').toString('base64');
  assert.deepEqual(parseCredentials({ ...auth, auth: pair }, 'r'), {
    ...none,
    username: 'u',
    password: 'se:cret',
  });
  assert.deepEqual(parseCredentials({ ...auth, username: 'u', password: 'p' }, 'r'), {
    ...none,
    username: 'u',
    password: 'p',
  });
  assert.deepEqual(parseCredentials({ ...auth, identityToken: 't' }, 'r'), {
    ...none,
    identityToken: 't',
  });
  assert.deepEqual(parseCredentials({ ...auth, registryToken: 't' }, 'r'), {
    ...none,
    registryToken: 't',
  });
  assert.equal(parseCredentials(auth, 'r'), undefined);
  assert.throws(() => parseCredentials({ ...auth, auth: 'eA==' }, 'r'), {
    kind: 'invalid-argument',
  });
});

test('credentials for another server are not used', () => {
  const given = { ...auth, username: 'u', password: 'p' };
  const at = (serverAddress: string, host: string) =>
    parseCredentials({ ...given, serverAddress }, host) !== undefined;
  assert.equal(at('https://other.example/v1/', 'r.example'), false);
  assert.equal(at('r.example:5000', 'r.example'), false);
  assert.equal(at('https://r.example/v2/', 'r.example'), true);
  assert.equal(at('https://index.docker.io/v1/', 'docker.io'), true);
});

test('basic auth is offered once it is asked for', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const proxy = await startProxy(t, registry.host, ({ request, response, forward }) => {
    if (request.headers.authorization === basic) {
      forward();
    } else {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="lab"' }).end();
    }
  });
  const { images, configureHost } = await startImages(t);
  const name = `${proxy.host}/app:v1`;
  await assert.rejects(images.puller.pull(name, { signal }), {
    kind: 'unauthenticated',
    message: /answered 401 \(there were no credentials for it\)$/,
  });
  const wrong = { ...user, password: 'wrong' };
  await assert.rejects(images.puller.pull(name, { signal, credentials: wrong }), {
    kind: 'unauthenticated',
    message: /answered 401 \(with the credentials that it was given\)$/,
  });
  assert.equal(await images.puller.pull(name, { signal, credentials: user }), image.id);

  configureHost('r.example', `server = "http://127.0.0.1:1"\n[host."http://${proxy.host}"]`);
  await assert.rejects(images.puller.pull('r.example/app:v1', { signal, credentials: user }), {
    message: /answered 401 \(mirrors get no credentials\)/,
  });
});

test('a token is fetched for the scope that is asked for, and kept for the pull', {
  skip,
}, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  let token = 'abc';
  const tokens = await startProxy(t, registry.host, ({ request, response, path }) => {
    const isAllowed = request.headers.authorization === basic;
    assert.equal(path, '/token?service=lab&scope=repository%3Aapp%3Apull');
    response.writeHead(isAllowed ? 200 : 403).end(JSON.stringify({ access_token: token }));
  });
  const proxy = await startProxy(t, registry.host, ({ request, response, forward }) => {
    if (request.headers.authorization === `Bearer ${token}`) {
      forward();
    } else {
      const challenge = `Bearer realm="http://${tokens.host}/token",service="lab",scope="repository:app:pull"`;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
    }
  });
  const { images } = await startImages(t);
  const name = `${proxy.host}/app:v1`;
  await assert.rejects(images.puller.pull(name, { signal }), {
    kind: 'unauthenticated',
    message: /token server .* answered 403: check the credentials/,
  });
  assert.equal(await images.puller.pull(name, { signal, credentials: user }), image.id);
  assert.equal(tokens.requests.length, 2);
  for (const headers of proxy.headers) {
    assert.notEqual(headers.authorization, basic);
  }

  // The next pull of the same repository, with the same credentials, asks once.
  const asked = proxy.requests.length;
  assert.equal(await images.puller.pull(name, { signal, credentials: user }), image.id);
  assert.deepEqual(proxy.requests.slice(asked), ['GET /v2/app/manifests/v1']);
  assert.equal(tokens.requests.length, 2);
  // One that brings nothing, or something else, gets nothing of it.
  await assert.rejects(images.puller.pull(name, { signal }), { kind: 'unauthenticated' });
  const wrong = { ...user, password: 'wrong' };
  await assert.rejects(images.puller.pull(name, { signal, credentials: wrong }), {
    kind: 'unauthenticated',
  });
  // What the registry takes no longer is fetched anew.
  token = 'def';
  assert.equal(await images.puller.pull(name, { signal, credentials: user }), image.id);
  assert.equal(tokens.requests.length, 5);
});

test('a redirect to another host gets no Authorization', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const storage = await startProxy(t, registry.host);
  const proxy = await startProxy(t, registry.host, ({ request, response, path, forward }) => {
    if (request.headers.authorization !== basic) {
      response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
    } else if (path.includes('/blobs/')) {
      response.writeHead(307, { location: `http://${storage.host}${path}` }).end();
    } else {
      forward();
    }
  });
  const { images } = await startImages(t);
  const pulled = await images.puller.pull(`${proxy.host}/app:v1`, { signal, credentials: user });
  assert.equal(pulled, image.id);
  assert.equal(storage.requests.length, 2);
  for (const headers of storage.headers) {
    assert.equal(headers.authorization, undefined);
  }
});

test('a token server is told no header that hosts.toml has for the registry, nor a mirror anything', {
  skip,
}, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const tokens = await startProxy(t, registry.host, ({ response }) => {
    response.writeHead(200).end(JSON.stringify({ token: 'abc' }));
  });
  const challenge = `Bearer realm="http://${tokens.host}/token",service="lab",scope="repository:app:pull"`;
  const proxy = await startProxy(t, registry.host, ({ request, response, forward }) =>
    request.headers.authorization === 'Bearer abc'
      ? forward()
      : void response.writeHead(401, { 'www-authenticate': challenge }).end(),
  );
  const mirror = await startProxy(
    t,
    registry.host,
    ({ response }) => void response.writeHead(401, { 'www-authenticate': 'Basic' }).end(),
  );
  const { images, configureHost } = await startImages(t);
  const secret = '[header]\nx-secret = "s3cret"\n';
  const toml = `server = "http://${proxy.host}"\n${secret}[host."http://${mirror.host}"]\n`;
  configureHost('registry.example', toml);
  const pulled = images.puller.pull('registry.example/app:v1', { signal, credentials: user });
  assert.equal(await pulled, image.id);
  assert.ok(proxy.headers.every((headers) => headers['x-secret'] === 's3cret'));
  assert.deepEqual(
    tokens.headers.map((headers) => [headers['x-secret'], headers.authorization]),
    [[undefined, basic]],
  );
  assert.ok(mirror.headers.length > 0);
  for (const headers of mirror.headers) {
    assert.deepEqual([headers['x-secret'], headers.authorization], [undefined, undefined]);
  }
});

test('a refresh token is sent to the token server alone, wherever that redirects', {
  skip,
}, async (t) => {
  const thief = await startProxy(t, '127.0.0.1:1', ({ response }) => void response.end());
  const tokens = await startProxy(
    t,
    '127.0.0.1:1',
    ({ response }) =>
      void response.writeHead(307, { location: `http://${thief.host}/token` }).end(),
  );
  const challenge = `Bearer realm="http://${tokens.host}/token",service="lab"`;
  const proxy = await startProxy(
    t,
    '127.0.0.1:1',
    ({ response }) => void response.writeHead(401, { 'www-authenticate': challenge }).end(),
  );
  const { images } = await startImages(t);
  const credentials = { ...none, identityToken: 'refresh' };
  await assert.rejects(images.puller.pull(`${proxy.host}/app:v1`, { signal, credentials }), {
    message: new RegExp(`host ${tokens.host} redirects a request that is meant for it alone`),
  });
  assert.deepEqual(thief.requests, []);
});
