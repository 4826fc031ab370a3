import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { test } from 'node:test';
import {
  identifyProcess,
  listCgroupProcesses,
  mountInfo,
  removeCgroup,
  signalProcess,
  unmount,
  waitForExit,
} from '@gantry/host';
import { NamespaceMode, PodSandboxState } from '@gantry/proto';
import { hostOf, leaks } from './harness/host.ts';
import {
  ContainerState,
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { conmonsOf } from './harness/services.ts';
import { stackForTests } from './harness/stack-for-tests.ts';
import { until } from './harness/until.ts';

const stack = await stackForTests();

const statusOf = async (containerId: string) =>
  (await stack.runtime.containerStatus({ containerId })).status ?? assert.fail('no status');
const createIn = async (pod: RunningPod, name: string): Promise<string> => {
  const { containerId } = await stack.runtime.createContainer({
    podSandboxId: pod.podSandboxId,
    config: shellContainer(name, 'exec sleep 1000'),
    sandboxConfig: pod.config,
  });
  return containerId;
};

/** What a host loses when it is started anew: processes, mounts, cgroups, and all that lies under state_dir. */
async function loseVolatileState(): Promise<void> {
  await stack.gantryOk('down');
  // The monitors first: a host that goes down lets nobody write down how the others ended.
  for (const pids of [conmonsOf(stack), await listCgroupProcesses(stack.cgroupParent)]) {
    const processes = await Promise.all(pids.map((pid) => identifyProcess(pid)));
    for (const process of processes.filter((found) => found !== undefined)) {
      await signalProcess(process, 9);
      await waitForExit(process, { signal: AbortSignal.timeout(60_000) });
    }
  }
  const mounts = (await mountInfo()).map(({ mountPoint }) => mountPoint);
  for (const path of mounts.toReversed()) {
    if (path.startsWith(`${stack.stateDir}/`) || path.startsWith(`${stack.rootDir}/`)) {
      await unmount(path, { detach: true });
    }
  }
  await removeCgroup(stack.cgroupParent);
  await rm(stack.stateDir, { recursive: true });
}

test('after the host was started anew pods are not ready, containers ended, and all can be removed', async () => {
  const clean = await hostOf(stack);
  const web = await runPod(
    stack,
    podConfig(stack, 'web', {
      portMappings: [{ hostPort: 18_080, containerPort: 80 }],
    }),
  );
  const onHost = await runPod(
    stack,
    podConfig(stack, 'on-host', {
      linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } },
    }),
  );
  const empty = await runPod(stack, podConfig(stack, 'empty'));
  const stopped = await runPod(stack, podConfig(stack, 'stopped'));
  await stack.runtime.stopPodSandbox(stopped);
  const running = await startContainer(stack, web, shellContainer('running', 'exec sleep 1000'));
  const other = await startContainer(stack, onHost, shellContainer('other', 'exec sleep 1000'));
  const exited = await startContainer(stack, web, shellContainer('exited', 'exit 3'));
  const created = await createIn(web, 'created');
  await until(
    'one has exited',
    () => statusOf(exited),
    ({ state }) => state === ContainerState.CONTAINER_EXITED,
  );
  const asItWas = await statusOf(exited);
  const { startedAt } = await statusOf(running);

  await loseVolatileState();
  await stack.gantryOk('up');

  const { items } = await stack.runtime.listPodSandbox({});
  const pods = [web, onHost, empty, stopped].map((pod) => pod.podSandboxId);
  assert.deepEqual(items.map((pod) => pod.id).sort(), pods.toSorted());
  assert.ok(items.every((pod) => pod.state === PodSandboxState.SANDBOX_NOTREADY));
  assert.deepEqual(await statusOf(exited), asItWas);
  for (const id of [running, other, created]) {
    const status = await statusOf(id);
    assert.equal(status.state, ContainerState.CONTAINER_EXITED);
    assert.deepEqual([status.exitCode, status.reason], [255, 'Unknown']);
    assert.ok(status.finishedAt >= status.createdAt);
  }
  assert.equal((await statusOf(running)).startedAt, startedAt);
  for (const containerId of [running, created]) {
    await assert.rejects(stack.runtime.startContainer({ containerId }), {
      kind: 'failed-precondition',
    });
  }
  await assert.rejects(createIn(web, 'late'), { kind: 'failed-precondition' });

  // In all the ways that a kubelet goes about it.
  await stack.runtime.stopContainer({ containerId: running, timeout: 10n });
  await stack.runtime.removeContainer({ containerId: running });
  await removePod(stack, web.podSandboxId);
  await stack.runtime.removePodSandbox(onHost);
  await removePod(stack, empty.podSandboxId);
  await stack.runtime.removePodSandbox(stopped);
  assert.deepEqual((await stack.runtime.listPodSandbox({})).items, []);
  assert.deepEqual((await stack.runtime.listContainers({})).containers, []);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);

  // The same pod comes again under its next attempt, and works.
  const again = await runPod(stack, podConfig(stack, 'web'));
  const containerId = await startContainer(stack, again, shellContainer('c', 'exec sleep 1000'));
  const { exitCode } = await stack.runtime.execSync({ containerId, cmd: ['true'] });
  assert.equal(exitCode, 0);
  await removePod(stack, again.podSandboxId);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});
