import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { RuntimeError } from '@gantry/errors';
import {
  containerStatus,
  createContainer,
  newNode,
  runPod,
  startContainer,
  startOn,
  type TestService,
} from '../testing.ts';

const noon = 1_700_000_000_000;
const hour = 3_600_000;

async function startAt(t: TestContext, now: number) {
  t.mock.timers.enable({ apis: ['Date'], now });
  const node = await newNode(t);
  const service = await startOn(t, node);
  await service.service.reconciliation.finished;
  return { node, service, pod: await runPod(service) };
}

async function assertInOrder(service: TestService, id: string): Promise<void> {
  const { createdAt, startedAt, finishedAt } = await containerStatus(service, id);
  assert.equal(createdAt, BigInt(noon) * 1_000_000n);
  assert.ok(startedAt === 0n || startedAt >= createdAt, 'started before it was made');
  assert.ok(finishedAt >= createdAt && finishedAt >= startedAt, 'finished before it was there');
}

test('a clock that is set back lets no container end before it began', async (t) => {
  const { node, service, pod } = await startAt(t, noon);
  const early = await createContainer(service, pod, 'early');
  const running = await startContainer(service, pod, 'running');
  t.mock.timers.setTime(noon - hour);
  await service.call('startContainer', { containerId: early });
  for (const id of [early, running]) {
    node.host.exit(id, 0);
    while ((await containerStatus(service, id)).finishedAt === 0n) {
      await new Promise(setImmediate);
    }
    await assertInOrder(service, id);
  }
});

test('nor one that can not start', async (t) => {
  const { node, service, pod } = await startAt(t, noon);
  const id = await createContainer(service, pod, 'failed');
  t.mock.timers.setTime(noon - hour);
  node.host.failures.set('runtime.create', new RuntimeError('internal', 'no such command'));
  await assert.rejects(service.call('startContainer', { containerId: id }));
  assert.equal((await containerStatus(service, id)).reason, 'StartError');
  await assertInOrder(service, id);
});

test('a grace is counted by no clock that can be set', async (t) => {
  const { node, service, pod } = await startAt(t, noon);
  const id = await startContainer(service, pod);
  node.host.onSignal = () => {
    t.mock.timers.setTime(noon + 1000 * hour);
  };
  const stopping = service.call('stopContainer', { containerId: id, timeout: 1000n });
  for (let turn = 0; turn < 50; turn += 1) {
    await new Promise(setImmediate);
  }
  assert.equal((await containerStatus(service, id)).finishedAt, 0n);
  node.host.exit(id, 0);
  await stopping;
  assert.equal((await containerStatus(service, id)).exitCode, 0);
});
