import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { kindOf } from '@gantry/errors';
import {
  containerConfig,
  createContainer,
  newNode,
  podConfig,
  runPod,
  startAlone,
  startOn,
} from './testing.ts';

const timeout = () => new DOMException('too late', 'TimeoutError');

test('the same pod asked for while the first is made gets the one id', async (t) => {
  const service = await startAlone(t);
  const hold = Promise.withResolvers<void>();
  service.node.host.holds.set('network.attach', hold.promise);
  const both = [1, 2].map(() => service.call('runPodSandbox', { config: podConfig() }));
  await turn();
  hold.resolve();
  const [first, second] = await Promise.all(both);
  assert.equal(first?.podSandboxId, second?.podSandboxId);
  assert.equal((await service.call('listPodSandbox', {})).items.length, 1);
});

test('and so it does at another instance', async (t) => {
  const node = await newNode(t);
  const [one, two] = [await startOn(t, node), await startOn(t, node)];
  const hold = Promise.withResolvers<void>();
  node.host.holds.set('network.attach', hold.promise);
  const first = one.call('runPodSandbox', { config: podConfig() });
  while (!node.host.calls.some((call) => call.startsWith('network.attach'))) {
    await turn();
  }
  const second = two.call('runPodSandbox', { config: podConfig() });
  await turn();
  hold.resolve();
  assert.equal((await first).podSandboxId, (await second).podSandboxId);
});

test('a pod of the same name but another config is refused with the owner', async (t) => {
  const service = await startAlone(t);
  const id = await runPod(service);
  for (const config of [podConfig(), podConfig('web', { hostname: 'other' })]) {
    await assert.rejects(service.call('runPodSandbox', { config }), (error) => {
      assert.equal(kindOf(error), 'already-exists');
      assert.match(String(error), new RegExp(`name "pod_web_.*" is reserved for "${id}"`));
      return true;
    });
  }
});

test('a caller whose deadline passes finds the result when it asks again', async (t) => {
  const service = await startAlone(t);
  const hold = Promise.withResolvers<void>();
  service.node.host.holds.set('network.attach', hold.promise);
  const caller = new AbortController();
  const first = service.call('runPodSandbox', { config: podConfig() }, { signal: caller.signal });
  await turn();
  caller.abort(timeout());
  await assert.rejects(first, (error) => kindOf(error) === 'deadline-exceeded');
  hold.resolve();
  while ((await service.call('listPodSandbox', {})).items.length === 0) {
    await turn();
  }
  const again = await runPod(service);
  assert.deepEqual(
    (await service.call('listPodSandbox', {})).items.map((item) => item.id),
    [again],
  );
  await assert.rejects(runPod(service), (error) => kindOf(error) === 'already-exists');
});

test('a caller that cancels has everything undone', async (t) => {
  const service = await startAlone(t);
  const { host } = service.node;
  const hold = Promise.withResolvers<void>();
  host.holds.set('runtime.create', hold.promise);
  const caller = new AbortController();
  const first = service.call('runPodSandbox', { config: podConfig() }, { signal: caller.signal });
  while (!host.calls.includes('runtime.create')) {
    await turn();
  }
  caller.abort();
  hold.resolve();
  await assert.rejects(first, (error) => kindOf(error) === 'canceled');
  assert.deepEqual(host.leftovers(), []);
});

test('one of two callers may cancel', async (t) => {
  const service = await startAlone(t);
  const hold = Promise.withResolvers<void>();
  service.node.host.holds.set('network.attach', hold.promise);
  const caller = new AbortController();
  const first = service.call('runPodSandbox', { config: podConfig() }, { signal: caller.signal });
  const second = service.call('runPodSandbox', { config: podConfig() });
  await turn();
  caller.abort();
  await assert.rejects(first, (error) => kindOf(error) === 'canceled');
  hold.resolve();
  assert.equal((await second).podSandboxId.length, 64);
});

test('containers share their making as pods do', async (t) => {
  const service = await startAlone(t);
  const podSandboxId = await runPod(service);
  const hold = Promise.withResolvers<void>();
  service.node.host.holds.set('roots.prepare', hold.promise);
  const request = { podSandboxId, config: containerConfig() };
  const both = [1, 2].map(() => service.call('createContainer', request));
  await turn();
  hold.resolve();
  const [first, second] = await Promise.all(both);
  assert.equal(first?.containerId, second?.containerId);
  await assert.rejects(
    createContainer(service, podSandboxId),
    (error) => kindOf(error) === 'already-exists',
  );
});
