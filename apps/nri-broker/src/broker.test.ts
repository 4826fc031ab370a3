import assert from 'node:assert/strict';
import { test } from 'node:test';
import { definePlugin } from '@gantry/nri';
import { Event } from '@gantry/proto/nri';
import { container, FakeHost, pod, startTestBroker } from './testing.ts';

test('a plugin is told what is there, then of each event, and adjusts containers', async (t) => {
  const host = new FakeHost();
  host.pods = [pod('p')];
  host.containers = [container('old')];
  const broker = await startTestBroker(t, {}, host);
  const seen: string[] = [];
  await broker.run(
    definePlugin({
      name: 'watcher',
      index: 10,
      configure: (config, runtime) => {
        seen.push(`configure ${JSON.stringify(config)} ${runtime.name}`);
      },
      synchronize: (pods, containers) => {
        seen.push(
          `synchronize ${pods.map((p) => p.id).join()} ${containers.map((c) => c.id).join()}`,
        );
        return [{ containerId: 'old', limits: { cpus: '0' } }];
      },
      runPodSandbox: ({ id }) => {
        seen.push(`run ${id}`);
      },
      createContainer: (_, { id }) => {
        seen.push(`create ${id}`);
        return { env: { ADDED: '1' }, updates: [{ containerId: 'old', limits: { pids: 5 } }] };
      },
      stopContainer: (_, { id }) => {
        seen.push(`stop ${id}`);
        return [{ containerId: 'old', limits: { cpus: '1' } }];
      },
      removeContainer: (_, { id }) => {
        seen.push(`remove ${id}`);
      },
    }),
  );
  const { dispatcher } = broker;
  await dispatcher.notify(Event.RUN_POD_SANDBOX, { pod: pod('q') });
  const { adjust, update } = await dispatcher.adjustContainer(pod('q'), container('c'));
  const subject = { pod: pod('q'), container: container('c') };
  const stopped = await dispatcher.notify(Event.STOP_CONTAINER, subject);
  await dispatcher.notify(Event.STOP_CONTAINER, subject);
  await dispatcher.notify(Event.REMOVE_CONTAINER, subject);
  await dispatcher.notify(Event.REMOVE_CONTAINER, subject);
  assert.deepEqual(seen, [
    'configure "" gantry',
    'synchronize p old',
    'run q',
    'create c',
    'stop c',
    'remove c',
  ]);
  assert.deepEqual(
    adjust?.env.map(({ key, value }) => `${key}=${value}`),
    ['ADDED=1'],
  );
  assert.equal(update[0]?.linux?.resources?.pids?.limit, 5n);
  assert.equal(stopped.update[0]?.linux?.resources?.cpu?.cpus, '1');
  assert.equal(host.asked[0]?.update[0]?.containerId, 'old');
});
