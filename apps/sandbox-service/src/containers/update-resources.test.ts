import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { isKind, messageOf, RuntimeError } from '@gantry/errors';
import type { OciSpec } from '@gantry/oci';
import { LinuxContainerResourcesSchema, PodSandboxState } from '@gantry/proto';
import {
  containerConfig,
  containerStatus,
  newNode,
  podStatus,
  runPod,
  startAlone,
  startOn,
  type TestService,
} from '../testing.ts';
import { mergeResources, putBackResources } from './merge-resources.ts';

const resources = (init: object) => create(LinuxContainerResourcesSchema, init);
const asked = { cpuShares: 256n, memoryLimitInBytes: 64n << 20n, oomScoreAdj: 100n };

async function makeContainer(service: TestService, podSandboxId: string): Promise<string> {
  const { containerId } = await service.call('createContainer', {
    podSandboxId,
    config: containerConfig('main', { linux: { resources: asked } }),
  });
  return containerId;
}

async function limitsOnDisk(service: TestService, id: string) {
  const spec = JSON.parse(await readFile(service.world.paths.spec(id), 'utf8')) as OciSpec;
  return spec.linux.resources;
}

const shown = async (service: TestService, id: string) =>
  (await containerStatus(service, id)).resources?.linux;

test('an update of a created container changes what it will start with', async (t) => {
  const service = await startAlone(t);
  const id = await makeContainer(service, await runPod(service));
  await service.call('updateContainerResources', {
    containerId: id.slice(0, 12),
    linux: { cpuQuota: 50_000n, cpuPeriod: 100_000n, oomScoreAdj: 5n },
  });
  assert.deepEqual(await limitsOnDisk(service, id), {
    cpu: { shares: 256, quota: 50_000, period: 100_000 },
    memory: { limit: 64 << 20, swap: 64 << 20 },
  });
  assert.equal(service.node.host.limits.has(id), false);
  const now = await shown(service, id);
  assert.deepEqual(
    [now?.cpuShares, now?.cpuQuota, now?.memoryLimitInBytes, now?.oomScoreAdj],
    [256n, 50_000n, 64n << 20n, 100n],
  );
});

test('an update of a running container goes to the runtime, config.json and the record', async (t) => {
  const service = await startAlone(t);
  const id = await makeContainer(service, await runPod(service));
  await service.call('startContainer', { containerId: id });
  await service.call('updateContainerResources', {
    containerId: id,
    linux: { memoryLimitInBytes: 32n << 20n },
  });
  const expected = { cpu: { shares: 256 }, memory: { limit: 32 << 20, swap: 32 << 20 } };
  assert.deepEqual(service.node.host.limits.get(id), expected);
  assert.deepEqual(await limitsOnDisk(service, id), expected);
  assert.equal((await shown(service, id))?.memoryLimitInBytes, 32n << 20n);
});

test('what the runtime refuses changes nothing, and the old limits are put back', async (t) => {
  const service = await startAlone(t);
  const { host } = service.node;
  const id = await makeContainer(service, await runPod(service));
  await service.call('startContainer', { containerId: id });
  const told: unknown[] = [];
  const { runtime } = service.world;
  const update = runtime.update.bind(runtime);
  Object.assign(runtime, {
    update: async (...args: Parameters<typeof update>) => {
      told.push(args[2]);
      if (told.length === 1) {
        throw new RuntimeError('failed-precondition', 'memory below usage');
      }
      await update(...args);
    },
  });
  await assert.rejects(
    service.call('updateContainerResources', {
      containerId: id,
      linux: { memoryLimitInBytes: 4096n, cpuQuota: 1000n, cpusetCpus: '1' },
    }),
    (e) => isKind(e, 'failed-precondition') && /memory below usage/.test(messageOf(e)),
  );
  assert.equal(told.length, 2);
  assert.deepEqual(host.limits.get(id), {
    cpu: { shares: 256, quota: -1, cpus: '0-1' },
    memory: { limit: 64 << 20, swap: 64 << 20 },
  });
  assert.deepEqual(await limitsOnDisk(service, id), {
    cpu: { shares: 256 },
    memory: { limit: 64 << 20, swap: 64 << 20 },
  });
  const now = await shown(service, id);
  assert.deepEqual([now?.cpuQuota, now?.memoryLimitInBytes], [0n, 64n << 20n]);
});

test('nonsense, unknown and exited containers are told apart, and nothing is touched', async (t) => {
  const service = await startAlone(t);
  const id = await makeContainer(service, await runPod(service));
  await service.call('startContainer', { containerId: id });
  const update = (containerId: string, linux: object) =>
    service.call('updateContainerResources', { containerId, linux });
  await assert.rejects(update(id, { memoryLimitInBytes: -7n }), (e) =>
    isKind(e, 'invalid-argument'),
  );
  await assert.rejects(update(id, { unified: { 'memory.high': '1' } }), (e) =>
    isKind(e, 'failed-precondition'),
  );
  await assert.rejects(update('f'.repeat(64), {}), (e) => isKind(e, 'not-found'));
  assert.equal(service.node.host.limits.size, 0);
  await service.call('stopContainer', { containerId: id, timeout: 0n });
  await assert.rejects(update(id, { cpuShares: 2n }), (e) => isKind(e, 'failed-precondition'));
  assert.equal((await shown(service, id))?.cpuShares, 256n);
});

test('an update that a crash cut off is taken back by the next instance', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  // Its calls would be counted too.
  await first.service.reconciliation.finished;
  const id = await makeContainer(first, await runPod(first));
  await first.call('startContainer', { containerId: id });
  const crashed = node.host.crashAtCall(4, true);
  const linux = { cpuQuota: 1000n, memoryLimitInBytes: 32n << 20n };
  first.call('updateContainerResources', { containerId: id, linux }).catch(() => undefined);
  await crashed;
  assert.equal(node.host.limits.get(id)?.memory?.limit, 32 << 20);

  const second = await startOn(t, node);
  await second.service.reconciliation.finished;
  assert.deepEqual(node.host.limits.get(id), {
    cpu: { shares: 256, quota: -1 },
    memory: { limit: 64 << 20, swap: 64 << 20 },
  });
  assert.equal((await shown(second, id))?.memoryLimitInBytes, 64n << 20n);
  await second.call('updateContainerResources', { containerId: id, linux });
  assert.equal((await shown(second, id))?.memoryLimitInBytes, 32n << 20n);
});

test('overhead and resources of a pod are kept, and shown to those who ask for details', async (t) => {
  const service = await startAlone(t);
  const id = await runPod(service);
  await service.call('updatePodSandboxResources', {
    podSandboxId: id,
    overhead: { memoryLimitInBytes: 1n << 20n },
    resources: asked,
  });
  await service.call('updatePodSandboxResources', {
    podSandboxId: id,
    resources: { cpuShares: 9n },
  });
  const { info } = await service.call('podSandboxStatus', { podSandboxId: id, verbose: true });
  const details = JSON.parse(info['info'] ?? '{}') as Record<string, unknown>;
  assert.deepEqual(details['overhead'], { memory_limit_in_bytes: '1048576' });
  assert.deepEqual(details['resources'], { cpu_shares: '9' });
  assert.equal((await podStatus(service, id)).state, PodSandboxState.SANDBOX_READY);
  const unknown = service.call('updatePodSandboxResources', { podSandboxId: 'f'.repeat(64) });
  await assert.rejects(unknown, (e) => isKind(e, 'not-found'));
});

test('fields that are not set stay, and lists are merged by their key', () => {
  const old = resources({
    ...asked,
    memorySwapLimitInBytes: 128n << 20n,
    cpusetCpus: '0',
    hugepageLimits: [{ pageSize: '2MB', limit: 1n }],
    unified: { a: '1', b: '1' },
  });
  const wanted = resources({
    cpuQuota: -1n,
    hugepageLimits: [
      { pageSize: '2MB', limit: 2n },
      { pageSize: '1GB', limit: 3n },
    ],
    unified: { b: '2' },
  });
  const merged = mergeResources(old, wanted);
  assert.deepEqual(
    [merged.cpuShares, merged.cpuQuota, merged.cpusetCpus, merged.memorySwapLimitInBytes],
    [256n, -1n, '0', 128n << 20n],
  );
  assert.deepEqual(
    merged.hugepageLimits.map(({ pageSize, limit }) => [pageSize, limit]),
    [
      ['2MB', 2n],
      ['1GB', 3n],
    ],
  );
  assert.deepEqual(merged.unified, { a: '1', b: '2' });
});

test('a swap limit that is too small for the new memory limit follows that', () => {
  const old = resources({ memoryLimitInBytes: 64n, memorySwapLimitInBytes: 128n });
  const swap = (memoryLimitInBytes: bigint) =>
    mergeResources(old, resources({ memoryLimitInBytes })).memorySwapLimitInBytes;
  assert.deepEqual([swap(100n), swap(200n), swap(-1n)], [128n, 0n, 0n]);
});

test('putting back undoes what had no limit before, and names nothing else', () => {
  const before = resources({ cpuShares: 5n });
  const after = resources({ cpuShares: 6n, cpuQuota: 7n, memoryLimitInBytes: 8n, cpusetMems: '1' });
  const back = putBackResources(before, after, { cpus: '0-3', mems: '0' });
  assert.deepEqual(
    [back.cpuShares, back.cpuQuota, back.cpuPeriod, back.memoryLimitInBytes, back.cpusetCpus],
    [5n, -1n, 0n, -1n, ''],
  );
  assert.equal(back.cpusetMems, '0');
});
