import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { PodSandboxConfigSchema, PodSandboxStatsSchema } from '@gantry/proto';
import type { ObjectId } from '../ids.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { createContainer, runPod, startAlone, startContainer } from '../testing.ts';
import { PodCgroups } from './pod-cgroup.ts';
import { withoutTimes } from './without-times.ts';

const packets = { rxPackets: 5n, rxDropped: 6n, txPackets: 7n, txDropped: 8n };
const device = { rxBytes: 1n, rxErrors: 2n, txBytes: 3n, txErrors: 4n, ...packets };
const reading = (n: bigint) => ({
  cpu: { usageNanos: n },
  memory: {
    usage: n,
    workingSet: n,
    available: 1n,
    rss: n,
    pageFaults: n,
    majorPageFaults: n,
  },
});

test('a pod without a cgroup of its own shows the sum of its containers and its network', async (t) => {
  const service = await startAlone(t);
  const { figures, host } = service.node;
  const podSandboxId = await runPod(service);
  const main = await startContainer(service, podSandboxId);
  await createContainer(service, podSandboxId, 'waiting');
  figures.readings.set(`/gantry/${podSandboxId}`, reading(1n));
  figures.readings.set(`/gantry/${main}`, reading(20n));
  figures.processes.set(`/gantry/${podSandboxId}`, 1).set(`/gantry/${main}`, 5);
  figures.devices.set(host.containers.get(podSandboxId)?.init.pid ?? 0, [
    { name: 'net1', ...device },
    { name: 'eth0', ...device, rxBytes: 100n },
  ]);
  const { stats } = await service.call('podSandboxStats', { podSandboxId });
  const json = withoutTimes(PodSandboxStatsSchema, stats);
  assert.deepEqual(json['attributes'], {
    id: podSandboxId,
    metadata: { name: 'web', namespace: 'default', uid: 'uid-web' },
    labels: { app: 'web' },
  });
  const { containers, cpu, ...rest } = json['linux'] ?? {};
  assert.deepEqual((cpu as Record<string, unknown>)['usageCoreNanoSeconds'], { value: '21' });
  assert.deepEqual(rest, {
    memory: {
      usageBytes: { value: '21' },
      workingSetBytes: { value: '21' },
      rssBytes: { value: '21' },
      pageFaults: { value: '21' },
      majorPageFaults: { value: '21' },
    },
    process: { processCount: { value: '6' } },
    network: {
      defaultInterface: {
        name: 'eth0',
        rxBytes: { value: '100' },
        rxErrors: { value: '2' },
        txBytes: { value: '3' },
        txErrors: { value: '4' },
      },
      interfaces: [
        {
          name: 'net1',
          rxBytes: { value: '1' },
          rxErrors: { value: '2' },
          txBytes: { value: '3' },
          txErrors: { value: '4' },
        },
      ],
    },
  });
  const names = (containers as { attributes: { metadata: { name: string } }; cpu?: object }[]).map(
    (c) => [c.attributes.metadata.name, c.cpu !== undefined],
  );
  assert.deepEqual(
    new Map(names as [string, boolean][]),
    new Map([
      ['main', true],
      ['waiting', false],
    ]),
  );
});

test('only pods that are ready are listed; another is refused by its id', async (t) => {
  const service = await startAlone(t);
  const [a, b] = [await runPod(service, 'a'), await runPod(service, 'b')];
  const listed = async (filter: object) => {
    const { stats } = await service.call('listPodSandboxStats', { filter });
    return new Set(stats.map((s) => s.attributes?.id));
  };
  assert.deepEqual(await listed({}), new Set([a, b]));
  assert.deepEqual(await listed({ id: a.slice(0, 12) }), new Set([a]));
  assert.deepEqual(await listed({ labelSelector: { app: 'b' } }), new Set([b]));
  assert.deepEqual(await listed({ id: a, labelSelector: { app: 'b' } }), new Set());
  await service.call('stopPodSandbox', { podSandboxId: a });
  assert.deepEqual(await listed({}), new Set([b]));
  await assert.rejects(service.call('podSandboxStats', { podSandboxId: a }), {
    kind: 'failed-precondition',
  });
  await assert.rejects(service.call('podSandboxStats', { podSandboxId: 'f'.repeat(64) }), {
    kind: 'not-found',
  });
});

function sandbox(id: string, parent: string, uid: string, cgroupsPath: string): Sandbox {
  const config = create(PodSandboxConfigSchema, {
    metadata: { name: id, namespace: 'n', uid },
    linux: { cgroupParent: parent },
  });
  const facts = { cgroupsPath } as Sandbox['facts'];
  return { id: id as ObjectId, phase: 'ready', config, facts };
}

test('a cgroup is of one pod when it was asked for and no other pod is in it or below', () => {
  const own = sandbox('1', '/kubepods/pod1', 'u1', '/kubepods/pod1/c1');
  const again = sandbox('2', '/kubepods/pod1', 'u1', '/kubepods/pod1/c2');
  const slice = sandbox('3', 'kube-pod3.slice', 'u3', 'kube-pod3.slice:gantry:c3');
  const above = sandbox('4', '/kubepods', 'u4', '/kubepods/c4');
  const unasked = sandbox('5', '', 'u5', '/gantry/c5');
  const atRoot = sandbox('6', '/', 'u6', '/c6');
  const one = sandbox('7', '/shared', 'u7', '/shared/c7');
  const other = sandbox('8', '/shared', 'u8', '/shared/c8');
  const all = [own, again, slice, above, unasked, atRoot, one, other];
  const cgroups = new PodCgroups(all);
  assert.deepEqual(
    all.map((s) => cgroups.ownOf(s)),
    [
      '/kubepods/pod1',
      '/kubepods/pod1',
      '/kube.slice/kube-pod3.slice',
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ],
  );
  const stopped: Sandbox = { ...other, phase: 'stopped' };
  assert.equal(new PodCgroups([one, stopped]).ownOf(one), '/shared');
});
