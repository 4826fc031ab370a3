import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { definePlugin } from '@gantry/nri';
import { Event, LinuxResourcesSchema } from '@gantry/proto/nri';
import { container, pod, startTestBroker } from '../testing.ts';

const field = (name: string, key = '', action = 'set') => ({
  field: name,
  key,
  plugin: '10-owner',
  action,
});

test('each answer says who wants what of which container', async (t) => {
  const broker = await startTestBroker(t);
  const plugin = await broker.run(
    definePlugin({
      name: 'owner',
      index: 10,
      synchronize: () => [{ containerId: 'old', limits: { cpus: '0' } }],
      createContainer: () => ({
        env: { ADDED: '1', GONE: null },
        updates: [{ containerId: 'old', limits: { pids: 5 } }],
      }),
      updateContainer: () => ({ limits: { cpuShares: 7 } }),
      stopContainer: () => [{ containerId: 'old', limits: { cpus: '1' } }],
    }),
  );
  const { dispatcher, host } = broker;
  // It is asked before what it wanted of the synchronisation has been done.
  while (host.asked.length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const subject = { pod: pod('q'), container: container('c', { env: ['GONE=1'] }) };
  const created = await dispatcher.adjustContainer(subject.pod, subject.container);
  assert.deepEqual(created.owners, [
    { containerId: 'c', owners: [field('Env', 'GONE', 'removed'), field('Env', 'ADDED')] },
    { containerId: 'old', owners: [field('PidsLimit')] },
  ]);
  const limits = create(LinuxResourcesSchema);
  const updated = await dispatcher.adjustUpdate(subject.pod, subject.container, limits);
  assert.deepEqual(updated.owners, [{ containerId: 'c', owners: [field('CPUShares')] }]);
  const cpus = [{ containerId: 'old', owners: [field('CPUSetCPUs')] }];
  const stopped = await dispatcher.notify(Event.STOP_CONTAINER, subject);
  assert.deepEqual(stopped.owners, cpus);
  await plugin.update([{ containerId: 'old', limits: { cpus: '2' } }]);
  assert.deepEqual(
    host.asked.map(({ owners }) => owners),
    [cpus, cpus],
  );
});
