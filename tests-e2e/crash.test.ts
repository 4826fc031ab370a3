/*
 * sandbox-service is killed by SIGKILL before and after every step of every
 * operation on pods and containers. Whatever the moment: after its next start
 * nothing is left of what was half made, and the same request works.
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
import { runDir } from './harness/run-dir.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

let stack: Stack;
let clean: HostSnapshot;
let faultFile: string;
/** The fault points that a pod's life passes, by operation, told by the service itself. */
const points = new Map<string, readonly string[]>();

before(async () => {
  faultFile = join(runDir(), `fault-${process.pid}`);
  stack = await startStack({ environment: { GANTRY_FAULT_FILE: faultFile } });
  clean = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, 'pattern'));
  const containerId = await startContainer(stack, pod, sleeper);
  await stack.runtime.stopContainer({ containerId, timeout: 0n });
  await stack.runtime.removeContainer({ containerId });
  await removePod(stack, pod.podSandboxId);
  for (const id of [pod.podSandboxId, containerId]) {
    const { json } = await stack.connection.client(Diagnostics).explain({ id });
    const { operations } = JSON.parse(json) as {
      operations: { kind: string; trail: { step: string }[] }[];
    };
    for (const { kind, trail } of operations) {
      const steps = ['intent', ...trail.map(({ step }) => step)];
      points.set(
        kind,
        steps.flatMap((step) => [`${kind}:${step}`, `${kind}:${step}:done`]),
      );
    }
  }
});
after(async () => {
  await rm(faultFile, { force: true });
  await stack[Symbol.asyncDispose]();
});

const sleeper = shellContainer('crash', 'exec sleep 1000');

/** The points of one operation; a rename in the service must not leave this test without any. */
function pointsOf(kind: string, atLeast: number): readonly string[] {
  const found = points.get(kind) ?? [];
  assert.ok(found.length >= atLeast, `${kind} passes ${found.join(' ') || 'no point'}`);
  return found;
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

/** Repair may go on for a moment after the service answers. */
const nothingMoreThan = (earlier: HostSnapshot) =>
  until(
    'what is left on the host',
    async () => leaks(earlier, await hostOf(stack)),
    (list) => list.length === 0,
  );

const createIn = (pod: RunningPod) =>
  stack.runtime.createContainer({
    podSandboxId: pod.podSandboxId,
    config: sleeper,
    sandboxConfig: pod.config,
  });

/** For all of its parts, some dozens: each of these has the usual time. A busy host takes seconds for each. */
const timeout = 1_200_000;

test('RunPodSandbox, killed at every step', { timeout }, async (t) => {
  // Without a pause container there are the files, the namespaces and the network.
  for (const point of pointsOf('run-pod-sandbox', stack.infra === 'none' ? 10 : 16)) {
    await t.test(point, async () => {
      const config = podConfig(stack, 'crash');
      await dieAt(point, () => stack.runtime.runPodSandbox({ config }));
      const { podSandboxId } = await stack.runtime.runPodSandbox({ config });
      const { items } = await stack.runtime.listPodSandbox({});
      assert.deepEqual(
        items.map((item) => item.id),
        [podSandboxId],
      );
      await removePod(stack, podSandboxId);
      await nothingMoreThan(clean);
    });
  }
});

// Containers are made, and stopped pods removed, alike in every pod.
const ofPodsOnly = process.env['GANTRY_E2E_INFRA'] === 'none';

test('CreateContainer and StartContainer, killed at every step', {
  skip: ofPodsOnly && 'the same with a pause container',
  timeout,
}, async (t) => {
  const pod = await runPod(stack, podConfig(stack, 'host-of-crashes'));
  const withPod = await hostOf(stack);
  for (const point of pointsOf('create-container', 6)) {
    await t.test(point, async () => {
      await dieAt(point, () => createIn(pod));
      const { containerId } = await createIn(pod);
      const { containers } = await stack.runtime.listContainers({});
      assert.deepEqual(
        containers.map((c) => c.id),
        [containerId],
      );
      await stack.runtime.startContainer({ containerId });
      await stack.runtime.removeContainer({ containerId });
      await nothingMoreThan(withPod);
    });
  }
  for (const point of pointsOf('start-container', 4)) {
    await t.test(point, async () => {
      const { containerId } = await createIn(pod);
      await dieAt(point, () => stack.runtime.startContainer({ containerId }));
      await stack.runtime.stopContainer({ containerId, timeout: 0n });
      await stack.runtime.removeContainer({ containerId });
      await nothingMoreThan(withPod);
    });
  }
  for (const point of pointsOf('remove-container', 4)) {
    await t.test(point, async () => {
      const containerId = await startContainer(stack, pod, sleeper);
      await dieAt(point, () => stack.runtime.removeContainer({ containerId }));
      await stack.runtime.removeContainer({ containerId });
      const { containers } = await stack.runtime.listContainers({});
      assert.deepEqual(containers, []);
      await nothingMoreThan(withPod);
    });
  }
  await removePod(stack, pod.podSandboxId);
  await nothingMoreThan(clean);
});

test('StopPodSandbox and RemovePodSandbox, killed at every step', { timeout }, async (t) => {
  const removal = ofPodsOnly ? [] : pointsOf('remove-pod-sandbox', 4);
  for (const point of [...pointsOf('stop-pod-sandbox', 4), ...removal]) {
    await t.test(point, async () => {
      const pod = await runPod(stack, podConfig(stack, 'stopping'));
      await startContainer(stack, pod, sleeper);
      const stop = () => stack.runtime.stopPodSandbox(pod);
      if (point.startsWith('stop')) {
        await dieAt(point, stop);
      } else {
        await stop();
        await dieAt(point, () => stack.runtime.removePodSandbox(pod));
      }
      await removePod(stack, pod.podSandboxId);
      const { items } = await stack.runtime.listPodSandbox({});
      assert.deepEqual(items, []);
      await nothingMoreThan(clean);
    });
  }
});
