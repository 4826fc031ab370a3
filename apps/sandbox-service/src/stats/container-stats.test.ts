import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContainerStatsSchema } from '@gantry/proto';
import { createContainer, runPod, startAlone, startContainer } from '../testing.ts';
import { withoutTimes } from './without-times.ts';

const memory = {
  usage: 10n,
  workingSet: 8n,
  available: 92n,
  rss: 5n,
  pageFaults: 3n,
  majorPageFaults: 1n,
};
const unknown = 'f'.repeat(64);

test('a running container shows what its cgroup uses and what it has written', async (t) => {
  const service = await startAlone(t);
  const { figures } = service.node;
  const containerId = await startContainer(service, await runPod(service));
  figures.readings.set(`/gantry/${containerId}`, {
    cpu: { usageNanos: 77n },
    memory,
    swap: { usage: 4n },
  });
  figures.layers.set('/upper', { bytes: 4096n, inodes: 2n, mountPoint: '/' });
  const { stats } = await service.call('containerStats', { containerId: containerId.slice(0, 9) });
  // Depends on how long the test has taken.
  delete stats?.cpu?.usageNanoCores;
  assert.deepEqual(withoutTimes(ContainerStatsSchema, stats), {
    attributes: { id: containerId, metadata: { name: 'main' }, labels: { role: 'main' } },
    cpu: { usageCoreNanoSeconds: { value: '77' } },
    memory: {
      usageBytes: { value: '10' },
      workingSetBytes: { value: '8' },
      availableBytes: { value: '92' },
      rssBytes: { value: '5' },
      pageFaults: { value: '3' },
      majorPageFaults: { value: '1' },
    },
    swap: { swapUsageBytes: { value: '4' } },
    writableLayer: {
      fsId: { mountpoint: '/' },
      usedBytes: { value: '4096' },
      inodesUsed: { value: '2' },
    },
  });
});

test('pressure is told where the kernel measures it', async (t) => {
  const service = await startAlone(t);
  const containerId = await startContainer(service, await runPod(service));
  const line = { totalNanos: 5000n, avg10: 1.5, avg60: 0.5, avg300: 0.25 };
  const pressure = { some: line, full: { ...line, totalNanos: 1000n } };
  service.node.figures.readings.set(`/gantry/${containerId}`, {
    cpu: { usageNanos: 77n, pressure },
    memory: { ...memory, pressure },
    ioPressure: pressure,
  });
  const { stats } = await service.call('containerStats', { containerId });
  const averages = { Avg10: 1.5, Avg60: 0.5, Avg300: 0.25 };
  const told = { Some: { Total: '5000', ...averages }, Full: { Total: '1000', ...averages } };
  const { cpu, memory: mem, io } = withoutTimes(ContainerStatsSchema, stats);
  assert.deepEqual([cpu?.['psi'], mem?.['psi'], io?.['psi']], [told, told, told]);
});

test('a container that does not run shows its writable layer alone', async (t) => {
  const service = await startAlone(t);
  const { figures } = service.node;
  const pod = await runPod(service);
  const created = await createContainer(service, pod, 'created');
  const ended = await startContainer(service, pod, 'ended');
  for (const id of [created, ended]) {
    figures.readings.set(`/gantry/${id}`, { cpu: { usageNanos: 1n }, memory });
  }
  figures.layers.set('/upper', { bytes: 1n, inodes: 1n, mountPoint: '/' });
  await service.call('stopContainer', { containerId: ended });
  for (const containerId of [created, ended]) {
    const { stats } = await service.call('containerStats', { containerId });
    assert.deepEqual([stats?.cpu, stats?.memory], [undefined, undefined]);
    assert.equal(stats?.writableLayer?.usedBytes?.value, 1n);
  }
});

test('an id that nobody has is not found, and an empty one is refused', async (t) => {
  const service = await startAlone(t);
  await assert.rejects(service.call('containerStats', { containerId: unknown }), {
    kind: 'not-found',
  });
  await assert.rejects(service.call('containerStats', { containerId: '' }), {
    kind: 'invalid-argument',
  });
});

test('all conditions of a list must hold, and no pause container is in it', async (t) => {
  const service = await startAlone(t);
  const [a, b] = [await runPod(service, 'a'), await runPod(service, 'b')];
  const one = await startContainer(service, a, 'one');
  const two = await startContainer(service, a, 'two');
  const other = await startContainer(service, b, 'one');
  const listed = async (filter: object) => {
    const { stats } = await service.call('listContainerStats', { filter });
    return stats.map((s) => s.attributes?.id);
  };
  assert.deepEqual(new Set(await listed({})), new Set([one, two, other]));
  assert.deepEqual(await listed({ id: two.slice(0, 12) }), [two]);
  assert.deepEqual(new Set(await listed({ podSandboxId: a.slice(0, 12) })), new Set([one, two]));
  assert.deepEqual(await listed({ podSandboxId: b, labelSelector: { role: 'one' } }), [other]);
  assert.deepEqual(await listed({ podSandboxId: b, labelSelector: { role: 'two' } }), []);
  assert.deepEqual(await listed({ id: unknown }), []);
});
