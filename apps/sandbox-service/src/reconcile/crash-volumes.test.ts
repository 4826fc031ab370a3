import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { ContainerState, NamespaceMode } from '@gantry/proto';
import {
  containerConfig,
  containerStatus,
  newNode,
  podConfig,
  startOn,
  type TestService,
} from '../testing.ts';
import { crashEverywhere } from './crash-everywhere.ts';

/*
 * As crash.test.ts, for a pod with a user namespace, and containers with image
 * volumes and volumes with mapped ids.
 */

const range = [{ containerId: 0, hostId: 100_000, length: 65_536 }];
const linux = {
  securityContext: {
    namespaceOptions: { usernsOptions: { mode: NamespaceMode.POD, uids: range, gids: range } },
  },
};
const config = containerConfig('main', {
  linux,
  mounts: [
    { containerPath: '/image', image: { image: 'busybox' }, readonly: true },
    { containerPath: '/data', hostPath: tmpdir(), uidMappings: range, gidMappings: range },
    { containerPath: '/other', image: { image: 'busybox' }, readonly: true },
  ],
});

const nothing = (): Promise<string[]> => Promise.resolve([]);
const run = async (service: TestService): Promise<string> =>
  (await service.call('runPodSandbox', { config: podConfig('web', { linux }) })).podSandboxId;
const make = async (service: TestService, podSandboxId: string): Promise<string> =>
  (await service.call('createContainer', { podSandboxId, config })).containerId;
const aPod = async (service: TestService) => [await run(service)];
const aCreated = async (service: TestService) => {
  const sandbox = await run(service);
  return [sandbox, await make(service, sandbox)];
};
const aRunning = async (service: TestService) => {
  const [sandbox = '', containerId = ''] = await aCreated(service);
  await service.call('startContainer', { containerId });
  return [sandbox, containerId];
};

/** What is mounted or kept for containers: not for the pod. */
async function ofContainers({ world }: TestService): Promise<readonly string[]> {
  const { paths } = world;
  return [
    ...(await readdir(paths.mountPoints).catch(() => [])),
    ...(await readdir(paths.volumes).catch(() => [])),
  ];
}

test('a crash at any point of RunPodSandbox leaves no user namespace', (t) =>
  crashEverywhere(
    t,
    nothing,
    ({ first }) => run(first),
    async ({ node }, second, where) => {
      assert.deepEqual(node.host.leftovers(), [], where);
      assert.equal((await run(second)).length, 64, where);
    },
    'pause',
  ));

test('a crash at any point of CreateContainer leaves no image volume', (t) =>
  crashEverywhere(
    t,
    aPod,
    ({ first, sandbox }) => make(first, sandbox),
    async ({ node, sandbox }, second, where) => {
      assert.deepEqual([...node.host.roots], [sandbox], where);
      assert.equal(node.host.mounts.size, 2, where);
      assert.deepEqual(await ofContainers(second), [], where);
      assert.equal((await make(second, sandbox)).length, 64, where);
    },
    'pause',
  ));

test('a crash at any point of StartContainer leaves no volume with mapped ids', (t) =>
  crashEverywhere(
    t,
    aCreated,
    ({ first, container }) => first.call('startContainer', { containerId: container }),
    async ({ node, container }, second, where) => {
      const shifted = [...node.host.mounts].filter(([, kind]) => kind === 'shifted');
      assert.deepEqual(shifted, [], where);
      assert.equal(existsSync(second.world.paths.mountsOf(container, 'volumes')), false, where);
      if ((await containerStatus(second, container)).state === ContainerState.CONTAINER_CREATED) {
        await second.call('startContainer', { containerId: container });
      }
      assert.equal(node.host.containers.get(container)?.phase, 'running', where);
    },
    'pause',
  ));

test('a crash at any point of RemoveContainer gives all of it back', (t) =>
  crashEverywhere(
    t,
    aRunning,
    ({ first, container }) => first.call('removeContainer', { containerId: container }),
    async ({ node, sandbox }, second, where) => {
      assert.deepEqual([...node.host.roots], [sandbox], where);
      assert.deepEqual(await ofContainers(second), [], where);
    },
    'pause',
  ));

test('a crash at any point of StopPodSandbox leaves no user namespace', (t) =>
  crashEverywhere(
    t,
    aRunning,
    ({ first, sandbox }) => first.call('stopPodSandbox', { podSandboxId: sandbox }),
    async ({ node, sandbox }, second, where) => {
      assert.deepEqual([...node.host.netns], [], where);
      await second.call('removePodSandbox', { podSandboxId: sandbox });
      assert.deepEqual(node.host.leftovers(), [], where);
    },
    'pause',
  ));

test('with the records lost, nothing of a pod and its volumes stays', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const [sandbox = '', container = ''] = await aRunning(first);
  const { paths, records } = first.world;
  // Pins are files, which the faked host does not make.
  for (const pin of [paths.userns(sandbox), paths.netns(sandbox)]) {
    await mkdir(dirname(pin), { recursive: true });
    await writeFile(pin, '');
  }
  await mkdir(paths.volumesOf(container), { recursive: true });
  records.containers.remove(container);
  records.sandboxes.remove(sandbox);
  first.crash();
  const second = await startOn(t, node);
  await second.service.reconciliation.finished;
  assert.deepEqual(await ofContainers(second), []);
  const left = node.host.leftovers().filter((line) => !line.startsWith('address'));
  assert.deepEqual(left, []);
});
