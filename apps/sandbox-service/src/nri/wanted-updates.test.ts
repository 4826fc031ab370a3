import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ContainerUpdateSchema } from '@gantry/proto/nri';
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
import { PendingUpdates } from './pending-updates.ts';

interface Scene {
  readonly node: Node;
  readonly broker: FakePluginBroker;
  readonly service: TestService;
  readonly podSandboxId: string;
  /** A container that runs, of which plugins want that it has 77 shares. */
  readonly target: string;
  /** The next time that something is about to be applied the service dies. */
  arm(): { readonly died: Promise<void> };
}

async function setUp(t: TestContext): Promise<Scene> {
  const broker = new FakePluginBroker();
  let onApply: (() => void) | undefined;
  const node: Node = {
    ...(await newNode(t)),
    openPlugins: (world) =>
      new AskedPlugins({
        ...world,
        broker,
        lowestOomScoreAdj: -500,
        cdiSpecDirs: [],
        faultPoint: () => onApply?.(),
      }),
  };
  const service = await startOn(t, node);
  await service.service.reconciliation.finished;
  const podSandboxId = await runPod(service);
  const target = await startContainer(service, podSandboxId, 'target');
  broker.update = [
    { containerId: target, linux: { resources: { cpu: { shares: { value: 77n } } } } },
  ];
  const arm = () => {
    const { promise: died, resolve } = Promise.withResolvers<void>();
    onApply = () => {
      onApply = undefined;
      service.crash();
      resolve();
    };
    return { died };
  };
  return { node, broker, service, podSandboxId, target, arm };
}

const sharesOf = async (service: TestService, id: string): Promise<bigint> =>
  (await containerStatus(service, id)).resources?.linux?.cpuShares ?? 0n;

const ownersOf = (service: TestService, id: string) =>
  service.world.records.containers.find(id)?.facts.pluginOwners;

/** The next instance, when nothing is left to be done. */
async function startNext(t: TestContext, { node, service }: Scene): Promise<TestService> {
  const next = await startOn(t, node);
  await next.service.reconciliation.finished;
  const { pluginUpdates } = service.world.paths;
  while ((await readdir(pluginUpdates)).length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return next;
}

const set = { field: 'CPUShares', key: '', plugin: '10-no', action: 'set' };

test('updates that came with a new container outlive a crash before they are made', async (t) => {
  const scene = await setUp(t);
  const { died } = scene.arm();
  createContainer(scene.service, scene.podSandboxId, 'new').catch(() => undefined);
  await died;
  assert.equal(await sharesOf(scene.service, scene.target), 0n);
  const next = await startNext(t, scene);
  assert.equal(await sharesOf(next, scene.target), 77n);
  assert.deepEqual(ownersOf(next, scene.target), [set]);
});

test("what can't be done after a crash either takes the new container with it", async (t) => {
  const scene = await setUp(t);
  const [update] = scene.broker.update;
  scene.broker.update.push({ ...update, containerId: 'f'.repeat(64) });
  const { died } = scene.arm();
  createContainer(scene.service, scene.podSandboxId, 'new').catch(() => undefined);
  await died;
  const next = await startNext(t, scene);
  const { containers } = await next.call('listContainers', {});
  assert.deepEqual(
    containers.map(({ metadata }) => metadata?.name),
    ['target'],
  );
});

test('updates of an update and of a stop outlive a crash too', async (t) => {
  for (const act of ['updateContainerResources', 'stopContainer'] as const) {
    const scene = await setUp(t);
    const { broker, service, podSandboxId } = scene;
    const { update } = broker;
    broker.update = [];
    const containerId = await startContainer(service, podSandboxId, 'other');
    broker.update = update;
    const { died } = scene.arm();
    service.call(act, { containerId }).catch(() => undefined);
    await died;
    const next = await startNext(t, scene);
    assert.equal(await sharesOf(next, scene.target), 77n, act);
  }
});

test('what came with something that a crash has undone is not done', async (t) => {
  const scene = await setUp(t);
  const { service, target, broker } = scene;
  // A crash is not needed to write it: nobody holds these locks for the service.
  const dead = new PendingUpdates({
    ...service.world,
    locks: { ...service.world.locks, tryLock: freed },
  });
  const wanted = {
    update: broker.update.map((update) => create(ContainerUpdateSchema, update)),
    evict: [],
    owners: [],
  };
  await dead.keep('create', 'f'.repeat(64), wanted);
  await dead.keep('update', target, wanted);
  broker.update = [];
  const next = await startNext(t, scene);
  assert.equal(await sharesOf(next, target), 0n);
});

const freed = () => ({ [Symbol.asyncDispose]: () => Promise.resolve() });

test('what an instance has kept is taken over when it is dead, and once', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const second = await startOn(t, node);
  const id = 'a'.repeat(64);
  await new PendingUpdates(first.world).keep('stop', id, { update: [], evict: [], owners: [] });
  const others = new PendingUpdates(second.world);
  const found: string[] = [];
  const take = () =>
    others.takeOver((left) => {
      found.push(`${left.cause} ${left.id}`);
      return found.length === 1 ? Promise.reject(new Error('not yet')) : Promise.resolve();
    });
  assert.equal(await take(), true);
  assert.deepEqual(found, []);
  first.crash();
  assert.equal(await take(), false);
  assert.equal(await take(), true);
  await take();
  assert.deepEqual(found, [`stop ${id}`, `stop ${id}`]);
});

test('owners are of the last who changed a field, and go with the container', async (t) => {
  const { service, broker, podSandboxId, target } = await setUp(t);
  broker.adjust = { linux: { resources: { cpu: { shares: { value: 5n } } } } };
  const id = await createContainer(service, podSandboxId, 'new');
  assert.deepEqual([ownersOf(service, id), ownersOf(service, target)], [[set], [set]]);
  broker.update = [];
  await service.call('removeContainer', { containerId: id });
  assert.equal(ownersOf(service, id), undefined);
});
