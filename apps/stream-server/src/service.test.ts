import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { busClient, busHandlers } from '@gantry/bus';
// oxlint-disable-next-line eslint/no-restricted-imports -- the package's own door for tests
import { startTestNats } from '@gantry/bus/testing';
import { completeConfig } from '@gantry/config';
import { RuntimeError } from '@gantry/errors';
import { RuntimeService, Targets } from '@gantry/proto';
import { dialRemoteCommand } from '@gantry/remotecommand';
import { startService } from '@gantry/service-kit';
import { service } from './service.ts';

/** The service on a real bus, with sandbox-service and the OCI runtime played. */
async function setUp(t: TestContext) {
  const nats = await startTestNats(t);
  const dir = mkdtempSync(join(tmpdir(), 'gantry-stream-'));
  t.after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  const runtimePath = join(dir, 'runtime');
  writeFileSync(
    runtimePath,
    `#!/bin/sh
{ while kill -0 $$; do :; done 2>/dev/null
grep -q sleep "$4" && sleep 100; echo out; echo err >&2; exit 7; } & echo $! > "$6"
`,
  );
  chmodSync(runtimePath, 0o755);

  const sandbox = await nats.connect('sandbox');
  await sandbox.serve(
    busHandlers(Targets, {
      getExecTarget: ({ containerId }) =>
        containerId === 'c1'
          ? Promise.resolve({ containerId, runtimePath, processJson: Buffer.from('{}') })
          : Promise.reject(new RuntimeError('not-found', `container ${containerId}: not found`)),
    }),
  );
  const config = completeConfig({
    node_name: nats.node,
    root_dir: dir,
    state_dir: join(dir, 'run'),
    nats: { url: nats.url, credentials_dir: dirname(nats.files.credentialsFiles.stream) },
    log: { level: 'error' },
  });
  const running = await startService(service, { config });
  t.after(() => running[Symbol.asyncDispose]());
  const gateway = await nats.connect('gateway');
  return { client: busClient(gateway, 'stream', RuntimeService), running, dir };
}

test('ExecSync goes over the bus to the runtime and back', async (t) => {
  const { client } = await setUp(t);
  const answer = await client.execSync({ containerId: 'c1', cmd: ['x'] });
  assert.equal(answer.exitCode, 7);
  assert.equal(Buffer.from(answer.stdout).toString(), 'out\n');
  assert.equal(Buffer.from(answer.stderr).toString(), 'err\n');
});

test('what sandbox-service says of a container is told', async (t) => {
  const { client } = await setUp(t);
  await assert.rejects(client.execSync({ containerId: 'c2', cmd: ['x'] }), {
    kind: 'not-found',
    message: /container c2: not found/,
  });
});

test('a caller that gives up over the bus ends the command', async (t) => {
  const { client, running, dir } = await setUp(t);
  const caller = new AbortController();
  const answer = assert.rejects(
    client.execSync({ containerId: 'c1', cmd: ['sleep'] }, { signal: caller.signal }),
    { kind: 'canceled' },
  );
  const files = () => readdirSync(join(dir, 'run', 'exec', running.instance));
  while (!files().includes('1.pid')) {
    await new Promise(setImmediate);
  }
  caller.abort();
  await answer;
  while (files().length > 0) {
    await new Promise(setImmediate);
  }
});

test('a command runs for the client that comes to the URL, once', async (t) => {
  const { client } = await setUp(t);
  const request = { containerId: 'c1', cmd: ['x'], stdout: true, stderr: true };
  const { url } = await client.exec(request);
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/exec\/[\w-]{22}$/);
  const options = { transport: 'spdy', stdout: true, stderr: true, tty: false } as const;
  {
    await using session = await dialRemoteCommand(url, options);
    assert.ok(session.stdout && session.stderr);
    const outputs = await Promise.all([text(session.stdout), text(session.stderr)]);
    assert.deepEqual(outputs, ['out\n', 'err\n']);
    assert.deepEqual(await session.status, { exitCode: 7 });
  }
  await assert.rejects(dialRemoteCommand(url, options), /404/);
});

test('what sandbox-service says is told before there is a URL', async (t) => {
  const { client } = await setUp(t);
  const streams = { stdout: true };
  await assert.rejects(client.exec({ containerId: 'c2', cmd: ['x'], ...streams }), {
    kind: 'not-found',
  });
  await assert.rejects(client.attach({ containerId: 'c2', ...streams }), { kind: 'not-found' });
  await assert.rejects(client.exec({ containerId: 'c1', cmd: [], ...streams }), {
    kind: 'invalid-argument',
  });
  await assert.rejects(client.exec({ containerId: 'c1', cmd: ['x'] }), {
    kind: 'invalid-argument',
  });
  await assert.rejects(client.attach({ containerId: 'c1', ...streams, stderr: true, tty: true }), {
    kind: 'invalid-argument',
  });
  await assert.rejects(client.portForward({}), { kind: 'invalid-argument' });
  await assert.rejects(client.portForward({ podSandboxId: 'p', port: [0] }), {
    kind: 'invalid-argument',
  });
});

test('a service that stops leaves nothing', async (t) => {
  const { running, dir } = await setUp(t);
  await running[Symbol.asyncDispose]();
  assert.deepEqual(readdirSync(join(dir, 'run', 'exec')), []);
});
