import assert from 'node:assert/strict';
import { mkdtemp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { run } from '@gantry/host';
import { dialRemoteCommand } from '@gantry/remotecommand';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { freePort } from './harness/registry.ts';
import { runDir } from './harness/run-dir.ts';
import { pidsOf } from './harness/services.ts';
import { type Stack, startStack } from './harness/stack.ts';

// Two stream servers behind TLS, on a port that is set, with a short patience for silence.

let stack: Stack;
let podSandboxId: string;
let containerId: string;
let port: number;
let ca: string;

before(async () => {
  const dir = await mkdtemp(join(runDir(), 'tls-'));
  const [cert, key] = [join(dir, 'tls.crt'), join(dir, 'tls.key')];
  const made = await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-days', '1', '-subj', '/CN=node', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', key, '-out', cert],
  ]);
  assert.equal(made.exitCode, 0, made.stderr.toString());
  ca = await readFile(cert, 'utf8');
  port = await freePort();
  stack = await startStack({
    config: `[streaming]
port = ${port}
idle_timeout_ms = 10000
tls_cert_file = "${cert}"
tls_key_file = "${key}"
[services.replicas]
stream-server = 2
`,
  });
  const pod = await runPod(stack, podConfig(stack, 'replicas'));
  podSandboxId = pod.podSandboxId;
  containerId = await startContainer(stack, pod, shellContainer('target', 'exec sleep 1000'));
});
after(async () => {
  await removePod(stack, podSandboxId);
  await stack[Symbol.asyncDispose]();
});

test('each of two instances serves what it has promised, over TLS', async () => {
  assert.equal(pidsOf(stack, 'stream-server').length, 2);
  const ports = new Set<string>();
  for (let i = 0; i < 40 && (ports.size < 2 || i < 10); i++) {
    const request = { containerId, cmd: ['echo', `answer ${i}`], stdout: true };
    const { url } = await stack.runtime.exec(request);
    assert.match(url, /^https:\/\/127\.0\.0\.1:/);
    ports.add(new URL(url).port);
    for (const transport of [i % 2 === 0 ? ('spdy' as const) : ('websocket' as const)]) {
      await using client = await dialRemoteCommand(url, {
        ...{ transport, ca, stdout: true, stderr: false, tty: false },
      });
      assert.ok(client.stdout);
      assert.equal(await text(client.stdout), `answer ${i}\n`);
    }
  }
  assert.deepEqual([...ports].sort(), [String(port), String(port + 1)]);
});

test('gantry exec trusts the certificate of the config', async () => {
  assert.equal(await stack.gantryOk('exec', containerId, 'echo', 'hi'), 'hi\n');
});

test('a client that keeps silent too long is let go, and its terminal hung up', async () => {
  const { url } = await stack.runtime.exec({
    containerId,
    cmd: ['sh', '-c', 'read forever'],
    ...{ stdin: true, stdout: true, tty: true },
  });
  await using client = await dialRemoteCommand(url, {
    ...{ transport: 'spdy', ca, stdin: true, stdout: true, stderr: false, tty: true },
  });
  client.stdout?.resume();
  await assert.rejects(client.status);
});
