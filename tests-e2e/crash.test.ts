/*
 * sandbox-service is killed by SIGKILL before and after every step of
 * RunPodSandbox, CreateContainer and StartContainer; whatever the moment, the
 * next start leaves nothing of the half-made object, and the same request works.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { HostSnapshot } from '@gantry/host/testing';
import { Diagnostics } from '@gantry/proto';
import { hostOf, leaks } from './harness/host.ts';
import {
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

let stack: Stack;
let clean: HostSnapshot;
let faultFile: string;
/** The fault points that a pod's life passes, told by the service itself. */
let points: {
  readonly runPod: readonly string[];
  readonly create: readonly string[];
  readonly start: readonly string[];
};

before(async () => {
  const fault = join(process.env['GANTRY_E2E_DIR'] ?? '/nonexistent', `fault-${process.pid}`);
  stack = await startStack({ environment: { GANTRY_FAULT_FILE: fault } });
  faultFile = fault;
  clean = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, 'pattern'));
  const containerId = await startContainer(stack, pod, shellContainer('c', 'exec sleep 1000'));
  points = {
    runPod: await pointsOf(pod.podSandboxId, 'run-pod-sandbox'),
    create: await pointsOf(containerId, 'create-container'),
    start: await pointsOf(containerId, 'start-container'),
  };
  await removePod(stack, pod.podSandboxId);
});
after(async () => {
  await rm(faultFile, { force: true });
  await stack[Symbol.asyncDispose]();
});

async function pointsOf(id: string, kind: string): Promise<string[]> {
  const { json } = await stack.connection.client(Diagnostics).explain({ id });
  const { operations } = JSON.parse(json) as {
    operations: { kind: string; steps: { name: string }[] }[];
  };
  const operation = operations.find((o) => o.kind === kind);
  assert.ok(operation, `${kind} of ${id} is in the journal`);
  return operation.steps.flatMap(({ name }) => [`${kind}:${name}:before`, `${kind}:${name}:after`]);
}

/** Arms the point, makes the request that dies there, and waits until the service is back. */
async function dieAt(point: string, request: () => Promise<unknown>): Promise<void> {
  await writeFile(faultFile, point);
  await assert.rejects(request(), { kind: 'unavailable' }, point);
  assert.equal(existsSync(faultFile), false, `${point} was passed`);
  await until(
    'sandbox-service is back',
    () =>
      stack.runtime.listPodSandbox({}).then(
        () => true,
        () => false,
      ),
    (ok) => ok,
    60_000,
  );
}

const nothingLeft = () =>
  until(
    'repair',
    async () => leaks(clean, await hostOf(stack)),
    (list) => list.length === 0,
  );

test('RunPodSandbox killed at every step leaves nothing, and works when sent again', async (t) => {
  assert.ok(points.runPod.length >= 8, points.runPod.join(' '));
  for (const point of points.runPod) {
    await t.test(point, async () => {
      const config = podConfig(stack, 'crash');
      await dieAt(point, () => stack.runtime.runPodSandbox({ config }));
      const { podSandboxId } = await stack.runtime.runPodSandbox({ config });
      await removePod(stack, podSandboxId);
      const { items } = await stack.runtime.listPodSandbox({});
      assert.deepEqual(items, []);
      await nothingLeft();
    });
  }
});

test('CreateContainer and StartContainer killed at every step leave nothing, and the pod lives', async (t) => {
  assert.ok(points.create.length >= 4 && points.start.length >= 2);
  const pod = await runPod(stack, podConfig(stack, 'host-of-crashes'));
  const withPod = await hostOf(stack);
  const config = shellContainer('crash', 'exec sleep 1000');
  for (const point of points.create) {
    await t.test(point, async () => {
      await dieAt(point, () => createIn(pod, config));
      const { containerId } = await createIn(pod, config);
      await stack.runtime.startContainer({ containerId });
      await stack.runtime.removeContainer({ containerId });
      const { containers } = await stack.runtime.listContainers({});
      assert.deepEqual(containers, []);
      assert.deepEqual(leaks(withPod, await hostOf(stack)), []);
    });
  }
  for (const point of points.start) {
    await t.test(point, async () => {
      const { containerId } = await createIn(pod, config);
      await dieAt(point, () => stack.runtime.startContainer({ containerId }));
      await stack.runtime.stopContainer({ containerId, timeout: 0n });
      await stack.runtime.removeContainer({ containerId });
      assert.deepEqual(leaks(withPod, await hostOf(stack)), []);
    });
  }
  await removePod(stack, pod.podSandboxId);
  await nothingLeft();
});

const createIn = (pod: RunningPod, config: ReturnType<typeof shellContainer>) =>
  stack.runtime.createContainer({
    podSandboxId: pod.podSandboxId,
    config,
    sandboxConfig: pod.config,
  });
