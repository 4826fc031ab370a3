import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { kindOf } from '@gantry/errors';
import { ContainerState, PodSandboxConfigSchema, PodSandboxState } from '@gantry/proto';
import { createContainer, runPod, startAlone, startContainer } from '../testing.ts';
import { fingerprint } from './fingerprint.ts';
import { openRecords } from './records.ts';

test('any unique beginning of an id will do, in requests and in filters', async (t) => {
  const service = await startAlone(t);
  const pod = await runPod(service);
  const container = await createContainer(service, pod);
  for (const length of [64, 20, 10]) {
    const podSandboxId = pod.slice(0, length);
    assert.equal((await service.call('podSandboxStatus', { podSandboxId })).status?.id, pod);
    const containerId = container.slice(0, length);
    assert.equal((await service.call('containerStatus', { containerId })).status?.id, container);
    const { containers } = await service.call('listContainers', {
      filter: { id: containerId, podSandboxId },
    });
    assert.deepEqual(
      containers.map((c) => c.id),
      [container],
    );
  }
});

test('a beginning that several ids have is invalid, an empty one too, an unknown one not found', async (t) => {
  const service = await startAlone(t);
  // Seventeen ids: two of them share their first digit.
  for (let i = 0; i < 17; i += 1) {
    await runPod(service, `pod-${i}`);
  }
  const { items } = await service.call('listPodSandbox', {});
  const digits = items.map((item) => item.id.slice(0, 1));
  const twice = digits.find((digit, i) => digits.indexOf(digit) !== i) ?? '';
  const kindFor = (podSandboxId: string) =>
    service.call('podSandboxStatus', { podSandboxId }).then(() => 'found', kindOf);
  assert.equal(await kindFor(twice), 'invalid-argument');
  assert.equal(await kindFor(''), 'invalid-argument');
  assert.equal(await kindFor('not hex'), 'not-found');
  assert.equal(await kindFor("' OR 1=1 --"), 'not-found');
});

test('all conditions of a filter must hold', async (t) => {
  const service = await startAlone(t);
  const web = await runPod(service, 'web');
  const db = await runPod(service, 'db');
  await service.call('stopPodSandbox', { podSandboxId: db });
  const ids = async (filter: object) =>
    (await service.call('listPodSandbox', { filter })).items.map((item) => item.id);
  const ready = { state: { state: PodSandboxState.SANDBOX_READY } };

  assert.deepEqual((await ids({})).toSorted(), [web, db].toSorted());
  assert.deepEqual(await ids(ready), [web]);
  assert.deepEqual(await ids({ labelSelector: { app: 'db' } }), [db]);
  assert.deepEqual(await ids({ ...ready, labelSelector: { app: 'db' } }), []);
  assert.deepEqual(await ids({ labelSelector: { app: 'web', other: '' } }), []);
  assert.deepEqual(await ids({ id: 'f'.repeat(64) }), []);
});

test('containers are filtered by pod, state and labels', async (t) => {
  const service = await startAlone(t);
  const [web, db] = [await runPod(service, 'web'), await runPod(service, 'db')];
  const a = await startContainer(service, web, 'a');
  const b = await createContainer(service, web, 'b');
  const c = await createContainer(service, db, 'c');
  const ids = async (filter: object) =>
    (await service.call('listContainers', { filter })).containers.map((item) => item.id).toSorted();
  const running = { state: { state: ContainerState.CONTAINER_RUNNING } };

  assert.deepEqual(await ids({}), [a, b, c].toSorted());
  assert.deepEqual(await ids({ podSandboxId: web }), [a, b].toSorted());
  assert.deepEqual(await ids(running), [a]);
  assert.deepEqual(await ids({ podSandboxId: db, ...running }), []);
  assert.deepEqual(await ids({ labelSelector: { role: 'c' } }), [c]);
});

test('a fingerprint does not depend on the order of a map', () => {
  const print = (labels: Record<string, string>) =>
    fingerprint(PodSandboxConfigSchema, create(PodSandboxConfigSchema, { labels }));
  assert.equal(print({ a: '1', b: '2' }), print({ b: '2', a: '1' }));
  assert.notEqual(print({ a: '1', b: '2' }), print({ a: '2', b: '1' }));
});

test('a record that says the same is not read anew, one that another instance has changed is', async (t) => {
  const service = await startAlone(t);
  const { paths, records } = service.world;
  const pod = await runPod(service);
  const container = await startContainer(service, pod);
  assert.equal(records.containers.get(container), records.containers.list()[0]);
  assert.equal(records.sandboxes.get(pod), records.sandboxes.list()[0]);

  using other = openRecords(paths.records, 'other');
  other.containers.update(container, { facts: { message: 'of another instance' } });
  other.sandboxes.update(pod, { phase: 'notready' });
  assert.equal(records.containers.list()[0]?.facts.message, 'of another instance');
  assert.equal(records.sandboxes.list()[0]?.phase, 'notready');
  // What one transaction has undone is not remembered.
  assert.throws(() =>
    records.commit(() => {
      records.containers.update(container, { phase: 'exited' });
      assert.equal(records.containers.get(container).phase, 'exited');
      throw new Error('undone');
    }),
  );
  assert.equal(records.containers.get(container).phase, 'running');
});
