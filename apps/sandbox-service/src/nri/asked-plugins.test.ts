import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { messageOf } from '@gantry/errors';
import type { OciSpec } from '@gantry/oci';
import {
  containerStatus,
  createContainer,
  type Node,
  newNode,
  runPod,
  startContainer,
  startOn,
  type TestService,
} from '../testing.ts';
import { AskedPlugins } from './asked-plugins.ts';
import { FakePluginBroker } from './fake-plugin-broker.ts';
import { pluginSnapshot } from './plugin-snapshot.ts';

interface Plugged {
  readonly node: Node;
  readonly broker: FakePluginBroker;
  readonly service: TestService;
}

async function startPlugged(
  t: TestContext,
  options?: Parameters<typeof newNode>[1],
): Promise<Plugged> {
  const broker = new FakePluginBroker();
  const node: Node = {
    ...(await newNode(t, options)),
    openPlugins: (world) =>
      new AskedPlugins({ ...world, broker, lowestOomScoreAdj: -500, cdiSpecDirs: [] }),
  };
  const service = await startOn(t, node);
  await service.service.reconciliation.finished;
  return { node, broker, service };
}

const specOf = async ({ service }: Plugged, id: string): Promise<OciSpec> =>
  JSON.parse(await readFile(service.world.paths.spec(id), 'utf8')) as OciSpec;

test('plugins are shown where all namespaces are of a pod without a pause container', async (t) => {
  const { service, broker } = await startPlugged(t, { infra: 'none' });
  const podSandboxId = await runPod(service);
  const { paths } = service.world;
  const { namespaces = [] } = broker.pods.at(-1)?.linux ?? {};
  assert.deepEqual(
    namespaces.map(({ type, path }) => ({ type, path })),
    [
      { type: 'network', path: paths.netns(podSandboxId) },
      { type: 'uts', path: paths.pin(podSandboxId, 'uts') },
      { type: 'ipc', path: paths.pin(podSandboxId, 'ipc') },
    ],
  );
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

test('plugins are told of each step of a life, in order and once', async (t) => {
  const { service, broker } = await startPlugged(t);
  const podSandboxId = await runPod(service);
  const containerId = await startContainer(service, podSandboxId);
  await service.call('updateContainerResources', { containerId, linux: { cpuShares: 5n } });
  await service.call('updatePodSandboxResources', { podSandboxId });
  await service.call('stopContainer', { containerId, timeout: 0n });
  await service.call('removeContainer', { containerId });
  await service.call('stopPodSandbox', { podSandboxId });
  await service.call('stopPodSandbox', { podSandboxId });
  await service.call('removePodSandbox', { podSandboxId });
  assert.deepEqual(broker.told, [
    'RUN_POD_SANDBOX',
    'CREATE_CONTAINER main',
    'POST_CREATE_CONTAINER main',
    'START_CONTAINER main',
    'POST_START_CONTAINER main',
    'UPDATE_CONTAINER main',
    'POST_UPDATE_CONTAINER main',
    'UPDATE_POD_SANDBOX',
    'POST_UPDATE_POD_SANDBOX',
    'STOP_CONTAINER main',
    'REMOVE_CONTAINER main',
    'STOP_POD_SANDBOX',
    'REMOVE_POD_SANDBOX',
  ]);
});

test('an adjustment is in config.json and in the limits on show; a lower OOM score is lifted', async (t) => {
  const plugged = await startPlugged(t);
  const { service, broker } = plugged;
  broker.adjust = {
    env: [{ key: 'ADDED', value: '1' }],
    linux: {
      oomScoreAdj: { value: -900n },
      resources: { memory: { limit: { value: 5n << 20n } }, pids: { limit: 7n } },
    },
  };
  const containerId = await createContainer(service, await runPod(service));
  const { process, linux } = await specOf(plugged, containerId);
  assert.ok(process.env.includes('ADDED=1'));
  assert.equal(process.oomScoreAdj, -500);
  assert.deepEqual(linux.resources?.pids, { limit: 7 });
  const { resources } = await containerStatus(service, containerId);
  assert.equal(resources?.linux?.memoryLimitInBytes, 5n << 20n);
});

test('what a plugin refuses is undone, and plugins are told that it came to nothing', async (t) => {
  const { service, broker } = await startPlugged(t);
  broker.refused.add('RUN_POD_SANDBOX');
  await assert.rejects(runPod(service), (error) =>
    messageOf(error).endsWith('plugins: plugin "10-no" refused RUN_POD_SANDBOX'),
  );
  assert.deepEqual((await service.call('listPodSandbox', {})).items, []);
  assert.deepEqual(broker.told.splice(0), ['RUN_POD_SANDBOX', 'REMOVE_POD_SANDBOX']);
  broker.refused.clear();
  const podSandboxId = await runPod(service);
  broker.refused.add('CREATE_CONTAINER');
  await assert.rejects(createContainer(service, podSandboxId), { kind: 'failed-precondition' });
  assert.deepEqual((await service.call('listContainers', {})).containers, []);
  broker.refused.clear();
  const containerId = await createContainer(service, podSandboxId);
  broker.refused.add('START_CONTAINER');
  broker.told.length = 0;
  await assert.rejects(service.call('startContainer', { containerId }));
  await until(() => broker.told.includes('STOP_CONTAINER main'));
  const { reason, exitCode } = await containerStatus(service, containerId);
  assert.deepEqual([reason, exitCode], ['StartError', 128]);
  broker.refused.clear();
  broker.refused.add('UPDATE_POD_SANDBOX');
  await assert.rejects(service.call('updatePodSandboxResources', { podSandboxId }));
});

test('an update of another container that fails takes the new one with it, unless it may fail', async (t) => {
  const { service, broker } = await startPlugged(t);
  const podSandboxId = await runPod(service);
  const old = await startContainer(service, podSandboxId, 'old');
  const resources = { cpu: { shares: { value: 77n } } };
  broker.update = [
    { containerId: 'f'.repeat(64), ignoreFailure: true, linux: { resources } },
    { containerId: old, linux: { resources } },
  ];
  await createContainer(service, podSandboxId, 'fine');
  const shown = (await containerStatus(service, old)).resources;
  assert.equal(shown?.linux?.cpuShares, 77n);
  broker.update = [{ containerId: 'f'.repeat(64), linux: { resources } }];
  await assert.rejects(createContainer(service, podSandboxId, 'doomed'), {
    message: /updates that plugins want: update container f+: not found/,
  });
  const { containers } = await service.call('listContainers', {});
  assert.deepEqual(
    new Set(containers.map(({ metadata }) => metadata?.name)),
    new Set(['fine', 'old']),
  );
});

test('without a broker stops and removals go on; plugins are told of them later', async (t) => {
  const { service, broker } = await startPlugged(t);
  const podSandboxId = await runPod(service);
  const containerId = await startContainer(service, podSandboxId);
  broker.isAway = true;
  await service.call('stopContainer', { containerId, timeout: 0n });
  broker.isAway = false;
  await until(() => broker.told.includes('STOP_CONTAINER main'));
  broker.isAway = true;
  await service.call('removeContainer', { containerId });
  await service.call('stopPodSandbox', { podSandboxId });
  await service.call('removePodSandbox', { podSandboxId });
  assert.deepEqual((await service.call('listPodSandbox', {})).items, []);
  broker.told.length = 0;
  broker.isAway = false;
  await until(() => broker.told.length === 3);
  const removals = ['REMOVE_CONTAINER main', 'STOP_POD_SANDBOX', 'REMOVE_POD_SANDBOX'];
  assert.deepEqual(broker.told, removals);
});

test('a pod that stopped without a broker is told of as such when it is back, not as one that runs', async (t) => {
  const { service, broker } = await startPlugged(t);
  const podSandboxId = await runPod(service);
  broker.isAway = true;
  await service.call('stopPodSandbox', { podSandboxId });
  broker.told.length = 0;
  broker.isAway = false;
  await until(() => broker.told.length > 0);
  assert.deepEqual(broker.told, ['STOP_POD_SANDBOX']);
  const { records } = service.world;
  await until(() => records.sandboxes.find(podSandboxId)?.facts.plugins === 'stopped');
});

test('a removal that a crash kept from plugins is told by the next instance, once', async (t) => {
  const { service, broker, node } = await startPlugged(t);
  const podSandboxId = await runPod(service);
  const containerId = await startContainer(service, podSandboxId);
  broker.isAway = true;
  await service.call('removeContainer', { containerId });
  // At once, and as one that is kept: what is left of it in this process has no other in hand then.
  await until(() => broker.missed.filter((event) => event.startsWith('REMOVE')).length === 2);
  service.crash();
  broker.told.length = 0;
  broker.isAway = false;
  const second = await startOn(t, node);
  await until(() => broker.told.length > 0);
  await second.call('removePodSandbox', { podSandboxId });
  // Behind the other one, where that is still being told.
  await until(() => broker.told.includes('REMOVE_POD_SANDBOX'));
  const third = await startOn(t, node);
  await third.service.reconciliation.finished;
  const removals = broker.told.filter((event) => event.startsWith('REMOVE'));
  assert.deepEqual(removals, ['REMOVE_CONTAINER main', 'REMOVE_POD_SANDBOX']);
});

test('a plugin that comes is shown what is in the making too, and what goes in that moment', async (t) => {
  const { service, broker } = await startPlugged(t);
  const podSandboxId = await runPod(service);
  const containerId = await startContainer(service, podSandboxId);
  const { records, paths } = service.world;
  broker.isAway = true;
  const made = createContainer(service, podSandboxId, 'slow').catch(messageOf);
  await until(() => broker.missed.includes('CREATE_CONTAINER slow'));
  const shown = await pluginSnapshot(records, paths, {
    ids: async () => {
      await service.call('removeContainer', { containerId });
      return { stopping: [], stopped: [] };
    },
  });
  assert.deepEqual(
    shown.containers?.map(({ id }) => id),
    [containerId],
  );
  assert.deepEqual(
    shown.containersInMaking?.map(({ name }) => name),
    ['slow'],
  );
  broker.isAway = false;
  await made;
});

test('an exit that a crash kept from plugins is told by the next instance, once', async (t) => {
  const { service, broker, node } = await startPlugged(t);
  const containerId = await startContainer(service, await runPod(service));
  service.crash();
  node.host.exit(containerId, 3);
  broker.told.length = 0;
  const second = await startOn(t, node);
  await second.service.reconciliation.finished;
  await until(() => broker.told.includes('STOP_CONTAINER main'));
  await second.call('stopContainer', { containerId, timeout: 0n });
  const third = await startOn(t, node);
  await third.service.reconciliation.finished;
  assert.deepEqual(broker.told, ['STOP_CONTAINER main']);
});

test('a container whose making was cut off is taken back, and plugins are told', async (t) => {
  const { service, broker, node } = await startPlugged(t);
  const podSandboxId = await runPod(service);
  broker.told.length = 0;
  const never = new Promise<never>(() => undefined);
  broker.adjustContainer = () => {
    broker.told.push('CREATE_CONTAINER');
    return never;
  };
  createContainer(service, podSandboxId).catch(() => undefined);
  await until(() => broker.told.length > 0);
  service.crash();
  const second = await startOn(t, node);
  await second.service.reconciliation.finished;
  assert.deepEqual(broker.told, ['CREATE_CONTAINER', 'REMOVE_CONTAINER main']);
  assert.deepEqual((await second.call('listContainers', {})).containers, []);
});
