import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeImage } from '../testing/test-image.ts';
import { signal, startImages } from '../testing/test-images.ts';
import { startProxy } from '../testing/test-proxy.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';
import { nodeCredentials } from './node-credentials.ts';

const none = { username: '', password: '', identityToken: '', registryToken: '' };
const empty = { username: '', password: '', identity_token: '', registry_token: '' };
const base64 = (text: string) => Buffer.from(text).toString('base64');

async function dockerConfig(t: TestContext, content: string): Promise<string> {
  const directory = await mkdtemp('/tmp/gantry-credentials-');
  t.after(() => rm(directory, { recursive: true }));
  const file = join(directory, 'config.json');
  await writeFile(file, content);
  return file;
}

test("docker's config.json is read in all its forms, for the right host only", async (t) => {
  const docker_config = await dockerConfig(
    t,
    JSON.stringify({
      auths: {
        'https://index.docker.io/v1/': { auth: base64('hub:a:b') },
        'lab.example:5000': { username: 'u', password: 'p' },
        'https://token.example': { identitytoken: 'refresh' },
      },
      credsStore: 'desktop',
    }),
  );
  const find = (host: string) => nodeCredentials({ credentials: {}, docker_config }, host);
  assert.deepEqual(await find('docker.io'), { ...none, username: 'hub', password: 'a:b' });
  assert.deepEqual(await find('lab.example:5000'), { ...none, username: 'u', password: 'p' });
  assert.deepEqual(await find('token.example'), { ...none, identityToken: 'refresh' });
  assert.equal(await find('lab.example'), undefined);
});

test("the config's own table goes first, and a missing file is none", async () => {
  const credentials = { 'R.example': { ...empty, username: 'own', password: 'p' } };
  const settings = { credentials, docker_config: '/nonexistent/config.json' };
  assert.deepEqual(await nodeCredentials(settings, 'r.example'), {
    ...none,
    username: 'own',
    password: 'p',
  });
  assert.equal(await nodeCredentials(settings, 'other.example'), undefined);
});

test('a broken file is an error that names it, and keeps its secrets', async (t) => {
  for (const content of ['{"auths": {"r": {"auth": "c2VjcmV0', '{"auths": ["secret"]}']) {
    const docker_config = await dockerConfig(t, content);
    await assert.rejects(
      nodeCredentials({ credentials: {}, docker_config }, 'r'),
      (error: Error & { kind?: string }) => {
        assert.equal(error.kind, 'failed-precondition');
        assert.ok(error.message.includes(docker_config), error.message);
        assert.ok(!/secret|c2Vj/.test(error.message), error.message);
        return true;
      },
    );
  }
  const docker_config = await dockerConfig(t, JSON.stringify({ auths: { r: { auth: 'eA==' } } }));
  await assert.rejects(nodeCredentials({ credentials: {}, docker_config }, 'r'), {
    message: `${docker_config}: auths of r`,
  });
});

test('a pull without credentials uses those of the node, one with them its own', {
  skip: cannotRun,
}, async (t) => {
  const registry = await startRegistry(t);
  const image = makeImage({ layers: [[{ path: 'f', data: 'x' }]] });
  await registry.push(image, 'app', 'v1');
  const seen = new Set<string | undefined>();
  const proxy = await startProxy(t, registry.host, ({ request, response, forward }) => {
    const { authorization } = request.headers;
    seen.add(authorization);
    if (authorization === `Basic ${base64('node:secret')}`) {
      forward();
    } else {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="lab"' }).end();
    }
  });
  const credentials = { [proxy.host]: { ...empty, username: 'node', password: 'secret' } };
  const { images } = await startImages(t, { images: { credentials } });
  const name = `${proxy.host}/app:v1`;
  const own = { ...none, username: 'mine', password: 'wrong' };
  await assert.rejects(images.puller.pull(name, { signal, credentials: own }), {
    kind: 'unauthenticated',
  });
  assert.ok(!seen.has(`Basic ${base64('node:secret')}`));
  assert.equal(await images.puller.pull(name, { signal }), image.id);
});
