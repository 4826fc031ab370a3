import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { kindOf, RuntimeError } from '@gantry/errors';
import { PodSandboxState } from '@gantry/proto';
import { hostOf, leaks } from './harness/host.ts';
import {
  ContainerState,
  logPathOf,
  podConfig,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { killServices, pidsOf, untilAllAnswer } from './harness/services.ts';
import { stackForTests } from './harness/stack-for-tests.ts';
import { until } from './harness/until.ts';

const everything = [
  'cri-gateway',
  'image-service',
  'sandbox-service',
  'stream-server',
  'nats-server',
] as const;

const stack = await stackForTests();

const stateOf = async (containerId: string) =>
  (await stack.runtime.containerStatus({ containerId })).status;

test('every pod outlives every process of Gantry, killed at one moment', async () => {
  const clean = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, 'survivor'));
  const ticker = shellContainer(
    'ticker',
    'i=0; while :; do echo tick-$i; i=$((i+1)); sleep 0.05; done',
  );
  const gate = join(stack.dir, 'gate');
  await writeFile(gate, '');
  const leaver = shellContainer('leaver', 'while [ ! -s /gate ]; do sleep 0.05; done; exit 42', {
    mounts: [{ containerPath: '/gate', hostPath: gate }],
  });
  const tickerId = await startContainer(stack, pod, ticker);
  const leaverId = await startContainer(stack, pod, leaver);
  const running = await stateOf(tickerId);

  const killed = killServices(stack, ...everything);
  assert.ok(killed.length >= 5, `killed ${killed.length} processes`);
  // One container ends while nobody of us is there.
  await writeFile(gate, 'go');
  await untilAllAnswer(stack);

  const status = await until(
    'exit is reported',
    () => stateOf(leaverId),
    (s) => s?.state === ContainerState.CONTAINER_EXITED,
  );
  assert.equal(status?.exitCode, 42);
  assert.equal(status.reason, 'Error');
  assert.ok(status.finishedAt >= status.startedAt);
  const after = await stateOf(tickerId);
  assert.equal(after?.state, ContainerState.CONTAINER_RUNNING);
  assert.equal(after.startedAt, running?.startedAt);
  const { status: sandbox } = await stack.runtime.podSandboxStatus(pod);
  assert.equal(sandbox?.state, PodSandboxState.SANDBOX_READY);
  assert.ok(sandbox.network?.ip.startsWith(stack.addressPrefix));

  const { exitCode } = await stack.runtime.execSync({ containerId: tickerId, cmd: ['true'] });
  assert.equal(exitCode, 0);
  await stack.runtime.stopContainer({ containerId: tickerId, timeout: 0n });
  const ticks = [...(await readFile(logPathOf(pod, ticker), 'utf8')).matchAll(/tick-(\d+)/g)].map(
    (m) => Number(m[1]),
  );
  assert.deepEqual(ticks, [...ticks.keys()]);
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('a service that is killed in mid-request makes the gateway answer unavailable within 5 s', async () => {
  const pod = await runPod(stack, podConfig(stack, 'midway'));
  const containerId = await startContainer(stack, pod, shellContainer('c', 'exec sleep 1000'));
  const request = stack.runtime.execSync({ containerId, cmd: ['sleep', '60'] }).then(
    () => undefined,
    (error: unknown) => error,
  );
  await until(
    'the exec runs',
    () => stack.runtime.execSync({ containerId, cmd: ['sh', '-c', "ps | grep -c '[s]leep 60'"] }),
    ({ stdout }) => Buffer.from(stdout).toString().trim() === '1',
  );
  const [pid] = pidsOf(stack, 'stream-server');
  assert.ok(pid !== undefined);
  const killedAt = Date.now();
  process.kill(pid, 'SIGKILL');
  const error = await request;
  assert.ok(error instanceof RuntimeError && error.kind === 'unavailable', String(error));
  // Five seconds and what a busy host adds: a deadline would be minutes away.
  assert.ok(Date.now() - killedAt < 20_000);
  await untilAllAnswer(stack);
  await until(
    'the exec left no process',
    () =>
      stack.runtime
        .execSync({ containerId, cmd: ['sh', '-c', "ps | grep -c '[s]leep 60'"] })
        .then(({ stdout }) => Buffer.from(stdout).toString().trim(), String),
    (count) => count === '0',
  );
  await removePod(stack, pod.podSandboxId);
});

test('without NATS the gateway says unavailable, and works again when it is back', async () => {
  const refusal = await until(
    'a refusal',
    () => {
      // Once more where the request was slower than the next NATS.
      killServices(stack, 'nats-server');
      return stack.runtime.listPodSandbox({}).then(() => undefined, kindOf);
    },
    (kind) => kind !== undefined,
  );
  assert.equal(refusal, 'unavailable');
  await untilAllAnswer(stack);
  await stack.runtime.listPodSandbox({});
});
