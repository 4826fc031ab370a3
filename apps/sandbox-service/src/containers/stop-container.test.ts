import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { kindOf, RuntimeError } from '@gantry/errors';
import { ContainerState } from '@gantry/proto';
import { containerStatus, runPod, startAlone, startContainer } from '../testing.ts';

/** A container that does what `onSignal` says, and the clock in the test's hand. */
async function setUp(t: TestContext, onSignal: 'exits' | 'ignores' = 'ignores') {
  const service = await startAlone(t);
  const containerId = await startContainer(service, await runPod(service));
  const signals: number[] = [];
  service.node.host.onSignal = (id, signal) => {
    signals.push(signal);
    if (onSignal === 'exits') {
      service.node.host.exit(id, 0);
    }
  };
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const state = () => containerStatus(service, containerId);
  const stop = (timeout: bigint, signal = new AbortController().signal) =>
    service.call('stopContainer', { containerId, timeout }, { signal });
  return { service, containerId, signals, state, stop };
}

const settle = () => new Promise(setImmediate);

test('a container that heeds the stop signal ends with its own code', async (t) => {
  const { signals, state, stop } = await setUp(t, 'exits');
  await stop(10n);
  assert.deepEqual(signals, [15]);
  assert.deepEqual([(await state()).exitCode, (await state()).reason], [0, 'Completed']);
});

test('one that does not is killed when its grace is over, and not before', async (t) => {
  const { signals, state, stop } = await setUp(t);
  const stopped = stop(10n);
  await settle();
  t.mock.timers.tick(9_999);
  await settle();
  assert.equal((await state()).state, ContainerState.CONTAINER_RUNNING);
  t.mock.timers.tick(1);
  await stopped;
  assert.deepEqual(signals, [15]);
  assert.deepEqual([(await state()).exitCode, (await state()).reason], [137, 'Error']);
});

test('a timeout of 0 kills at once, without the stop signal', async (t) => {
  const { signals, state, stop } = await setUp(t);
  await stop(0n);
  assert.deepEqual(signals, []);
  assert.equal((await state()).exitCode, 137);
});

test('a kill that fails is an error, and stays known to those who ask why', async (t) => {
  const { service, containerId, state, stop } = await setUp(t);
  const { runtime } = service.world;
  const words = 'kill container: process 7 (dd, hangs in the kernel) is still there';
  runtime.killAll = () => Promise.reject(new RuntimeError('deadline-exceeded', words));
  await assert.rejects(stop(0n), { kind: 'deadline-exceeded', message: words });
  assert.equal((await state()).state, ContainerState.CONTAINER_RUNNING);
  const last = service.world.records.journal.of(containerId).at(-1);
  assert.deepEqual([last?.kind, last?.outcome, last?.error], ['stop-container', 'failed', words]);
});

test('a caller that leaves during the grace kills nothing', async (t) => {
  const { state, stop } = await setUp(t);
  const caller = new AbortController();
  const stopped = stop(10n, caller.signal);
  await settle();
  caller.abort();
  await assert.rejects(stopped, (error) => kindOf(error) === 'canceled');
  t.mock.timers.tick(60_000);
  await settle();
  assert.equal((await state()).state, ContainerState.CONTAINER_RUNNING);
});

test('a later, shorter timeout wins, and the signal is sent once only', async (t) => {
  const { signals, state, stop } = await setUp(t);
  const long = stop(3600n);
  await settle();
  const short = stop(2n);
  await settle();
  t.mock.timers.tick(2000);
  await Promise.all([long, short]);
  assert.deepEqual(signals, [15]);
  assert.equal((await state()).exitCode, 137);
});

test('a container that has exited, or that nobody knows, is a success', async (t) => {
  const { service, stop } = await setUp(t);
  await stop(0n);
  await stop(0n);
  await service.call('stopContainer', { containerId: 'f'.repeat(64), timeout: 1n });
});

test('two stops at the same moment send one signal', async (t) => {
  const { service, signals, stop } = await setUp(t);
  const hold = Promise.withResolvers<void>();
  service.node.host.holds.set('runtime.signal', hold.promise);
  const both = [stop(5n), stop(5n)];
  await settle();
  hold.resolve();
  await settle();
  await settle();
  t.mock.timers.tick(5000);
  await Promise.all(both);
  assert.deepEqual(signals, [15]);
});

test('an exit that another instance wrote down, and cleared away, ends the wait', async (t) => {
  const service = await startAlone(t);
  const containerId = await startContainer(service, await runPod(service));
  service.node.host.onSignal = () => undefined;
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const stopped = service.call('stopContainer', { containerId, timeout: 3600n });
  await settle();
  service.world.records.containers.update(containerId, { phase: 'exited' });
  t.mock.timers.tick(1000);
  await stopped;
});
