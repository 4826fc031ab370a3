import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContainerState, PodSandboxState } from '@gantry/proto';
import {
  containerConfig,
  containerStatus,
  createContainer,
  newNode,
  podStatus,
  runPod,
  startContainer,
  startOn,
  type TestService,
} from '../testing.ts';
import { crashEverywhere } from './crash-everywhere.ts';

const nothing = (): Promise<string[]> => Promise.resolve([]);
const aPod = async (service: TestService) => [await runPod(service)];
const aCreated = async (service: TestService) => {
  const sandbox = await runPod(service);
  return [sandbox, await createContainer(service, sandbox)];
};
const aRunning = async (service: TestService) => {
  const sandbox = await runPod(service);
  return [sandbox, await startContainer(service, sandbox)];
};

for (const infra of ['pause', 'none'] as const) {
  test(`a crash at any point of RunPodSandbox leaves nothing, and the name is free, infra ${infra}`, (t) =>
    crashEverywhere(
      t,
      nothing,
      ({ first }) => runPod(first),
      async ({ node }, second, where) => {
        assert.deepEqual(node.host.leftovers(), [], where);
        assert.deepEqual((await second.call('listPodSandbox', {})).items, [], where);
        assert.equal((await runPod(second)).length, 64, where);
      },
      infra,
    ));
}

test('a crash at any point of CreateContainer leaves the pod as it was', (t) =>
  crashEverywhere(
    t,
    aPod,
    ({ first, sandbox }) =>
      first.call('createContainer', { podSandboxId: sandbox, config: containerConfig() }),
    async ({ node, sandbox }, second, where) => {
      assert.deepEqual([...node.host.roots], [sandbox], where);
      assert.equal(node.host.mounts.size, 2, where);
      assert.deepEqual((await second.call('listContainers', {})).containers, [], where);
      assert.equal((await startContainer(second, sandbox)).length, 64, where);
    },
  ));

test('a crash at any point of StartContainer leaves it created or running, and never twice started', (t) =>
  crashEverywhere(
    t,
    aCreated,
    ({ first, container }) => first.call('startContainer', { containerId: container }),
    async ({ node, container }, second, where) => {
      const status = await containerStatus(second, container);
      const phase = node.host.containers.get(container)?.phase;
      if (status.state === ContainerState.CONTAINER_CREATED) {
        assert.equal(phase, undefined, where);
        await second.call('startContainer', { containerId: container });
      } else {
        assert.equal(status.state, ContainerState.CONTAINER_RUNNING, where);
      }
      assert.equal(node.host.containers.get(container)?.phase, 'running', where);
    },
  ));

test('a crash at any point of RemoveContainer is finished by the next instance', (t) =>
  crashEverywhere(
    t,
    aRunning,
    ({ first, container }) => first.call('removeContainer', { containerId: container }),
    async ({ node, sandbox, container }, second, where) => {
      assert.deepEqual([...node.host.roots], [sandbox], where);
      assert.equal(node.host.containers.has(container), false, where);
      assert.deepEqual((await second.call('listContainers', {})).containers, [], where);
    },
  ));

for (const infra of ['pause', 'none'] as const) {
  test(`a crash at any point of StopPodSandbox is finished by the next instance, infra ${infra}`, (t) =>
    crashEverywhere(
      t,
      aRunning,
      ({ first, sandbox }) => first.call('stopPodSandbox', { podSandboxId: sandbox }),
      async ({ node, sandbox, container }, second, where) => {
        const status = await podStatus(second, sandbox);
        assert.equal(status.state, PodSandboxState.SANDBOX_NOTREADY, where);
        assert.deepEqual([...node.host.netns, ...node.host.addresses.keys()], [], where);
        assert.equal(node.host.containers.size, 0, where);
        const ended = await containerStatus(second, container);
        assert.equal(ended.exitCode, 137, where);
        await second.call('removePodSandbox', { podSandboxId: sandbox });
        assert.deepEqual(node.host.leftovers(), [], where);
      },
      infra,
    ));
}

for (const infra of ['pause', 'none'] as const) {
  test(`a crash at any point of RemovePodSandbox is finished by the next instance, infra ${infra}`, (t) =>
    crashEverywhere(
      t,
      aRunning,
      ({ first, sandbox }) => first.call('removePodSandbox', { podSandboxId: sandbox }),
      async ({ node, sandbox }, second, where) => {
        // Before the removal itself is written down, the stop is finished and the pod is there.
        await second.call('removePodSandbox', { podSandboxId: sandbox });
        assert.deepEqual(node.host.leftovers(), [], where);
        assert.deepEqual((await second.call('listPodSandbox', {})).items, [], where);
      },
      infra,
    ));
}

test('a living instance repairs what another one left, when it next works on the pod', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const second = await startOn(t, node);
  // Their calls would be counted too.
  await Promise.all([first, second].map(({ service }) => service.reconciliation.finished));
  const sandbox = await runPod(first);
  const crashed = node.host.crashAtCall(2, true);
  first
    .call('createContainer', { podSandboxId: sandbox, config: containerConfig() })
    .catch(() => undefined);
  await crashed;
  first.crash();

  const container = await createContainer(second, sandbox);
  assert.deepEqual([...node.host.roots].sort(), [sandbox, container].sort());
});

test("a start that the runtime was told is finished, and its exit is the program's own", async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const containerId = await createContainer(first, await runPod(first));
  const hold = Promise.withResolvers<void>();
  node.host.onStart = (id) => {
    node.host.exit(id, 5);
    first.crash();
    hold.resolve();
  };
  first.call('startContainer', { containerId }).catch(() => undefined);
  await hold.promise;

  const second = await startOn(t, node);
  await second.service.reconciliation.recovered;
  const status = await containerStatus(second, containerId);
  assert.deepEqual([status.exitCode, status.reason], [5, 'Error']);
  assert.ok(status.startedAt > 0n);
});
