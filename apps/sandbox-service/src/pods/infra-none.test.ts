import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { test } from 'node:test';
import { isKind, kindOf, messageOf, RuntimeError } from '@gantry/errors';
import { ContainerState, NamespaceMode, PodSandboxState } from '@gantry/proto';
import {
  containerStatus,
  newNode,
  ownProcesses,
  podConfig,
  podStatus,
  runPod,
  startAlone,
  startContainer,
  startOn,
} from '../testing.ts';

const none = { infra: 'none' } as const;

test('a pod without a pause container is namespaces, files and an address, and no process', async (t) => {
  const service = await startAlone(t, none);
  const { host } = service.node;
  const { paths } = service.world;
  const id = await runPod(service);
  assert.deepEqual([...host.netns], [paths.netns(id), paths.pin(id, 'ipc'), paths.pin(id, 'uts')]);
  assert.deepEqual([...host.mounts.keys()], [paths.shm(id)]);
  assert.equal(host.containers.size + host.roots.size + host.alive.size, 0);
  const status = await podStatus(service, id);
  assert.equal(status.state, PodSandboxState.SANDBOX_READY);
  assert.equal(status.network?.ip, '10.0.0.7');

  const containerId = await startContainer(service, id);
  host.exit(containerId, 0);
  await service.call('stopContainer', { containerId, timeout: 0n });
  assert.equal((await podStatus(service, id)).state, PodSandboxState.SANDBOX_READY);

  host.calls.length = 0;
  await service.call('stopPodSandbox', { podSandboxId: id });
  assert.equal((await podStatus(service, id)).state, PodSandboxState.SANDBOX_NOTREADY);
  // Nothing to kill but containers, and those are gone.
  assert.ok(!host.calls.some((call) => call.startsWith('runtime.killAll')), host.calls.join());
  await service.call('removePodSandbox', { podSandboxId: id });
  assert.deepEqual(host.leftovers(), []);
});

const call = (namespaceOptions: object, more: object = {}) => ({
  config: podConfig('web', { linux: { securityContext: { namespaceOptions, ...more } } }),
});

for (const [what, options] of [
  ['shares its processes', { pid: NamespaceMode.POD }],
  ['says nothing of its processes', undefined],
] as const) {
  test(`a pod that ${what} has a pause container as their reaper`, async (t) => {
    const service = await startAlone(t, none);
    const request = options === undefined ? { config: podConfig('web') } : call(options);
    const { podSandboxId } = await service.call('runPodSandbox', request);
    assert.equal(service.node.host.containers.get(podSandboxId)?.phase, 'running');
    await service.call('removePodSandbox', { podSandboxId });
    assert.deepEqual(service.node.host.leftovers(), []);
  });
}

test("a pod on the host's namespaces has none of its own", async (t) => {
  const service = await startAlone(t, none);
  const { host } = service.node;
  const { NODE, CONTAINER } = NamespaceMode;
  const { podSandboxId } = await service.call(
    'runPodSandbox',
    call({ network: NODE, ipc: NODE, pid: CONTAINER }, { privileged: true }),
  );
  assert.deepEqual([...host.netns, ...host.mounts.keys()], []);
  await service.call('removePodSandbox', { podSandboxId });
  assert.deepEqual(host.leftovers(), []);
});

test('a privileged pod keeps the sysfs of its network writable until it stops', async (t) => {
  const service = await startAlone(t, none);
  const { host } = service.node;
  const { podSandboxId } = await service.call(
    'runPodSandbox',
    call({ pid: NamespaceMode.NODE }, { privileged: true }),
  );
  assert.equal(host.mounts.get(service.world.paths.podSysfs(podSandboxId)), 'sysfs');
  await service.call('stopPodSandbox', { podSandboxId });
  assert.deepEqual(host.leftovers(), []);
});

test('with users of its own its namespaces belong to them, and all go', async (t) => {
  const service = await startAlone(t, none);
  const { host } = service.node;
  const { paths } = service.world;
  const ids = [{ containerId: 0, hostId: 100_000, length: 65_536 }];
  const users = { mode: NamespaceMode.POD, uids: ids, gids: ids };
  const { podSandboxId: id } = await service.call(
    'runPodSandbox',
    call({ pid: NamespaceMode.CONTAINER, usernsOptions: users }),
  );
  const pins = [paths.userns(id), paths.netns(id), paths.pin(id, 'ipc'), paths.pin(id, 'uts')];
  assert.deepEqual([...host.netns].sort(), pins.sort());
  assert.equal(host.containers.size, 0);
  assert.ok(host.calls.includes('namespaces.configure'));
  await service.call('removePodSandbox', { podSandboxId: id });
  assert.deepEqual(host.leftovers(), []);
});

test('a sysctl of the host is refused, and nothing stays', async (t) => {
  const service = await startAlone(t, none);
  const linux = { ...ownProcesses.linux, sysctls: { 'vm.swappiness': '1' } };
  await assert.rejects(
    service.call('runPodSandbox', { config: podConfig('web', { linux }) }),
    (e) => isKind(e, 'invalid-argument') && messageOf(e).includes('vm.swappiness'),
  );
  assert.deepEqual(service.node.host.leftovers(), []);
});

for (const failing of ['namespaces.create', 'network.attach', 'mounts.tmpfs']) {
  test(`a pod whose ${failing} fails leaves nothing, and its name is free`, async (t) => {
    const service = await startAlone(t, none);
    const { host } = service.node;
    host.failures.set(failing, new RuntimeError('resource-exhausted', 'no space left on device'));
    await assert.rejects(runPod(service), (error) => {
      assert.equal(kindOf(error), 'resource-exhausted');
      assert.match(messageOf(error), /^run pod sandbox default\/web: [a-z]+: no space left/);
      return true;
    });
    assert.deepEqual(host.leftovers(), []);
    host.failures.clear();
    assert.equal((await runPod(service)).length, 64);
  });
}

test('after a restart such a pod is ready still, and stays so when the configuration changes', async (t) => {
  const node = await newNode(t, none);
  const first = await startOn(t, node);
  const id = await runPod(first);
  first.crash();
  const changed = {
    ...node,
    config: { ...node.config, pods: { ...node.config.pods, infra: 'pause' } },
  } as const;
  const second = await startOn(t, changed);
  await second.service.reconciliation.finished;
  assert.equal((await podStatus(second, id)).state, PodSandboxState.SANDBOX_READY);
  await second.call('removePodSandbox', { podSandboxId: id });
  assert.deepEqual(node.host.leftovers(), []);
});

test('a pod that lost a namespace is not ready after a restart', async (t) => {
  const node = await newNode(t, none);
  const first = await startOn(t, node);
  const id = await runPod(first);
  first.crash();
  node.host.netns.delete(first.world.paths.pin(id, 'uts'));
  const second = await startOn(t, node);
  await second.service.reconciliation.finished;
  assert.equal((await podStatus(second, id)).state, PodSandboxState.SANDBOX_NOTREADY);
});

test('after a reboot it is not ready, even one with nothing of its own, and can be removed', async (t) => {
  const node = await newNode(t, none);
  const first = await startOn(t, node);
  const { NODE, CONTAINER } = NamespaceMode;
  const web = await runPod(first);
  const { podSandboxId: onHost } = await first.call('runPodSandbox', {
    config: podConfig('host', {
      linux: {
        securityContext: { namespaceOptions: { network: NODE, ipc: NODE, pid: CONTAINER } },
      },
    }),
  });
  const containerId = await startContainer(first, onHost);
  first.crash();
  node.host.reboot();
  const second = await startOn(t, node);
  await second.service.reconciliation.finished;
  for (const id of [web, onHost]) {
    assert.equal((await podStatus(second, id)).state, PodSandboxState.SANDBOX_NOTREADY);
  }
  const { state } = await containerStatus(second, containerId);
  assert.equal(state, ContainerState.CONTAINER_EXITED);
  for (const podSandboxId of [web, onHost]) {
    await second.call('removePodSandbox', { podSandboxId });
  }
  assert.deepEqual(node.host.leftovers(), []);
});

test('pins without a record are let go, those with one stay', async (t) => {
  const node = await newNode(t, none);
  const first = await startOn(t, node);
  const { paths } = first.world;
  await runPod(first);
  const kept = node.host.leftovers();
  first.crash();
  const stray = 'd'.repeat(64);
  await mkdir(paths.pins(stray), { recursive: true });
  node.host.netns.add(paths.pin(stray, 'ipc'));
  const second = await startOn(t, node);
  await second.service.reconciliation.finished;
  assert.deepEqual(node.host.leftovers(), kept);
});

test('its stats are of its containers, its network as the pinned namespace has it', async (t) => {
  const service = await startAlone(t, none);
  const { figures } = service.node;
  const podSandboxId = await runPod(service);
  const main = await startContainer(service, podSandboxId);
  figures.readings.set(`/gantry/${main}`, { cpu: { usageNanos: 20n } });
  figures.processes.set(`/gantry/${main}`, 5);
  figures.devices.set(service.world.paths.netns(podSandboxId), [
    {
      name: 'eth0',
      rxBytes: 100n,
      rxPackets: 0n,
      rxErrors: 0n,
      rxDropped: 0n,
      txBytes: 3n,
      txPackets: 0n,
      txErrors: 0n,
      txDropped: 0n,
    },
  ]);
  const { stats } = await service.call('podSandboxStats', { podSandboxId });
  assert.equal(stats?.linux?.cpu?.usageCoreNanoSeconds?.value, 20n);
  assert.equal(stats.linux.process?.processCount?.value, 5n);
  assert.equal(stats.linux.network?.defaultInterface?.rxBytes?.value, 100n);
});
