import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { messageOf } from '@gantry/errors';
import type { AuthConfigSchema } from '@gantry/proto';
import { guest, type Registry, startRegistry } from './harness/registry.ts';
import { imageLayout, runDir } from './harness/run-dir.ts';
import { type Stack, startStack } from './harness/stack.ts';

const { username, password } = guest;
const dockerConfig = join(runDir(), 'docker-config.json');

let stack: Stack;
let registry: Registry;
let image: string;
before(async () => {
  registry = await startRegistry({ isGuarded: true });
  await registry.push(imageLayout('busybox'), 'lib/busybox:1');
  image = `${registry.host}/lib/busybox:1`;
  stack = await startStack({ busybox: false, config: `docker_config = "${dockerConfig}"` });
  await trust(`ca = "${registry.caFile}"`);
});
after(async () => {
  await stack[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await stack.images.removeImage({ image: { image } });
});

async function trust(how: string): Promise<void> {
  const dir = join(stack.dir, 'certs.d', registry.host);
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'hosts.toml'), `server = "https://${registry.host}"\n${how}\n`);
}

const pull = (auth?: MessageInitShape<typeof AuthConfigSchema>) =>
  stack.images.pullImage({ image: { image }, ...(auth === undefined ? {} : { auth }) });

test('every form of credentials opens a registry behind TLS and a password', async () => {
  const auth = Buffer.from(`${username}:${password}`).toString('base64');
  const { imageRef } = await pull({ username, password });
  assert.match(imageRef, /^sha256:/);
  assert.deepEqual(
    await pull({ auth }),
    await pull({ username, password, serverAddress: registry.host }),
  );
  await stack.gantryOk('pull', '--creds', `${username}:${password}`, image);
});

test('no credentials, wrong ones and those for another host are told with host and status', async () => {
  const refused = { kind: 'unauthenticated', message: new RegExp(`${registry.host}.*401`) };
  await assert.rejects(pull(), refused);
  await assert.rejects(pull({ username, password: 'wrong' }), refused);
  await assert.rejects(pull({ username, password, serverAddress: 'other.example' }), refused);
  const told = await pull({ username, password: 'hunter2' }).then(() => '', messageOf);
  assert.match(told, /401/);
  assert.ok(!told.includes('hunter2'));
});

test('an authority that the host does not know is refused until hosts.toml names it', async () => {
  await trust('');
  await assert.rejects(pull({ username, password }), { message: /self-signed certificate/ });
  await trust('skip_verify = true');
  await pull({ username, password });
  await trust(`ca = "${registry.caFile}"`);
  await pull({ username, password });
});

test("docker's config.json serves pulls that bring nothing, as it is at each pull", async () => {
  const write = (secret: string) =>
    writeFile(
      dockerConfig,
      JSON.stringify({
        auths: {
          [registry.host]: { auth: Buffer.from(`${username}:${secret}`).toString('base64') },
        },
      }),
    );
  await write('old');
  await assert.rejects(pull(), { kind: 'unauthenticated' });
  await write(password);
  await pull();
});
