import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { test } from 'node:test';
import { isKind, RuntimeError } from '@gantry/errors';
import { ContainerState, PodSandboxState } from '@gantry/proto';
import {
  containerStatus,
  createContainer,
  newNode,
  podStatus,
  runPod,
  startContainer,
  startOn,
  type TestService,
} from '../testing.ts';

async function untilExited(service: TestService, id: string): Promise<void> {
  while ((await containerStatus(service, id)).state !== ContainerState.CONTAINER_EXITED) {
    await new Promise(setImmediate);
  }
}

test('an exit that nobody watched is reported with its code, reason and time', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const sandbox = await runPod(first);
  const failed = await startContainer(first, sandbox, 'failed');
  const oom = await startContainer(first, sandbox, 'oom');
  const running = await startContainer(first, sandbox, 'running');
  first.crash();
  node.host.exit(failed, 3);
  node.host.exit(oom, 137, true);

  const second = await startOn(t, node);
  await second.service.reconciliation.recovered;
  const status = (id: string) => containerStatus(second, id);
  const ended = await status(failed);
  assert.equal(ended.state, ContainerState.CONTAINER_EXITED);
  assert.deepEqual([ended.exitCode, ended.reason], [3, 'Error']);
  assert.ok(ended.finishedAt >= ended.startedAt && ended.startedAt >= ended.createdAt);
  assert.equal((await status(oom)).reason, 'OOMKilled');
  assert.equal((await status(running)).state, ContainerState.CONTAINER_RUNNING);
});

test('after a reboot containers have exited 255 Unknown, pods are not ready, and all can be removed', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const sandbox = await runPod(first);
  const running = await startContainer(first, sandbox, 'running');
  first.crash();
  node.host.reboot();

  const second = await startOn(t, node);
  await second.service.reconciliation.finished;
  const status = await containerStatus(second, running);
  assert.deepEqual([status.exitCode, status.reason], [255, 'Unknown']);
  const pod = await podStatus(second, sandbox);
  assert.equal(pod.state, PodSandboxState.SANDBOX_NOTREADY);
  await second.call('removePodSandbox', { podSandboxId: sandbox });
  assert.deepEqual(node.host.leftovers(), []);
});

test('a container whose conmon is gone without a word is ended', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const sandbox = await runPod(first);
  const id = await startContainer(first, sandbox);
  first.crash();
  node.host.alive.delete(node.host.containers.get(id)?.monitor.pid ?? 0);

  const second = await startOn(t, node);
  await second.service.reconciliation.recovered;
  const status = await containerStatus(second, id);
  assert.equal(status.state, ContainerState.CONTAINER_EXITED);
  assert.equal(node.host.containers.has(id), false);
});

test('what has no record is removed from the host, what has one stays', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  await first.service.reconciliation.finished;
  const sandbox = await runPod(first);
  const kept = node.host.leftovers();
  first.crash();
  const stray = 'd'.repeat(64);
  const { paths } = first.world;
  for (const path of [paths.netns(stray), paths.bundle(stray), paths.shm(stray)]) {
    await mkdir(path, { recursive: true });
  }
  node.host.netns.add(paths.netns(stray));
  node.host.roots.add(stray);
  node.host.addresses.set(stray, '10.0.0.8');
  node.host.mounts.set(paths.shm(stray), 'tmpfs');

  const second = await startOn(t, node);
  await second.service.reconciliation.finished;
  assert.deepEqual(node.host.leftovers(), kept);
  const status = await podStatus(second, sandbox);
  assert.equal(status.state, PodSandboxState.SANDBOX_READY);
});

test('requests wait for the first look at the pods', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const sandbox = await runPod(first);
  const id = await startContainer(first, sandbox);
  first.crash();
  node.host.exit(id, 0);
  const release = Promise.withResolvers<void>();
  node.host.holds.set('runtime.exitOf', release.promise);

  const second = await startOn(t, node);
  const answer = second.call('containerStatus', { containerId: id });
  assert.equal((await second.call('version', {})).runtimeName, 'gantry');
  release.resolve();
  assert.equal((await answer).status?.state, ContainerState.CONTAINER_EXITED);
});

test('requests are told to come again when that takes long', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const sandbox = await runPod(first);
  first.crash();
  const release = Promise.withResolvers<void>();
  node.host.holds.set('runtime.exitOf', release.promise);
  t.mock.timers.enable({ apis: ['setTimeout'] });

  const second = await startOn(t, node);
  const answer = second.call('listPodSandbox', {});
  t.mock.timers.tick(3000);
  const told = `recovering: 1 of 1 pods are not looked at yet: ${sandbox.slice(0, 12)}`;
  await assert.rejects(answer, (e) => isKind(e, 'unavailable') && String(e).includes(told));
  assert.equal(second.service.reconciliation.problem(), told);
  release.resolve();
  await second.service.reconciliation.recovered;
  assert.equal(second.service.reconciliation.problem(), undefined);
});

test('a pod that hangs at the start holds the others back for a minute and no longer', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const stuck = await runPod(first, 'stuck');
  first.crash();
  const release = Promise.withResolvers<void>();
  node.host.holds.set('runtime.exitOf', release.promise);
  t.mock.timers.enable({ apis: ['setTimeout'] });

  const second = await startOn(t, node);
  t.mock.timers.tick(59_999);
  const early = second.call('listPodSandbox', {});
  t.mock.timers.tick(1);
  await second.service.reconciliation.recovered;
  t.mock.timers.reset();
  assert.equal((await early).items.length, 1);
  const other = await runPod(second, 'other');
  assert.equal((await podStatus(second, other)).state, PodSandboxState.SANDBOX_READY);
  // Nobody touches the one that is still being looked at.
  const signal = AbortSignal.abort(new Error('left'));
  await assert.rejects(second.call('stopPodSandbox', { podSandboxId: stuck }, { signal }), /left/);
  assert.match(second.service.reconciliation.problem() ?? '', /1 of 1 pods/);

  release.resolve();
  await second.service.reconciliation.finished;
  assert.equal(second.service.reconciliation.problem(), undefined);
  await second.call('removePodSandbox', { podSandboxId: stuck });
});

test('without image-service pods are recovered, and roots are looked at later', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const sandbox = await runPod(first);
  await createContainer(first, sandbox);
  first.crash();
  node.host.roots.add('c'.repeat(64));
  node.host.failures.set('roots.list', new RuntimeError('unavailable', 'nobody listens'));

  const second = await startOn(t, node);
  await second.service.reconciliation.recovered;
  assert.equal((await second.call('listPodSandbox', {})).items.length, 1);
  node.host.failures.clear();
  await second.service.reconciliation.finished;
  assert.equal(node.host.roots.size, 2);
});

test('pods of a handler that is no longer configured run on, and can be stopped and removed', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const sandbox = await runPod(first);
  const running = await startContainer(first, sandbox, 'running');
  const alone = await startContainer(first, sandbox, 'alone');
  const created = await createContainer(first, sandbox, 'created');
  first.crash();
  node.host.handlers.splice(0);

  const second = await startOn(t, node);
  await second.service.reconciliation.finished;
  assert.equal((await containerStatus(second, running)).state, ContainerState.CONTAINER_RUNNING);
  await assert.rejects(
    second.call('startContainer', { containerId: created }),
    /"runc" is no longer configured: put it back/,
  );
  await second.call('stopContainer', { containerId: alone, timeout: 0n });
  await second.call('removeContainer', { containerId: alone });
  await second.call('stopPodSandbox', { podSandboxId: sandbox });
  await second.call('removePodSandbox', { podSandboxId: sandbox });
  assert.deepEqual(node.host.leftovers(), []);
});

test('a word of an exit that is none ends nothing', async (t) => {
  const node = await newNode(t);
  const service = await startOn(t, node);
  const sandbox = await runPod(service);
  const id = await startContainer(service, sandbox);
  // As when a start was cut off and its last word comes after the next start.
  node.host.tellExit(id);
  node.host.tellExit(sandbox);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal((await containerStatus(service, id)).state, ContainerState.CONTAINER_RUNNING);
  assert.equal((await podStatus(service, sandbox)).state, PodSandboxState.SANDBOX_READY);
  node.host.exit(id, 5);
  await untilExited(service, id);
  assert.equal((await containerStatus(service, id)).exitCode, 5);
});

test('an exit right after a start that was cut off is told as conmon writes it, a moment later', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  // Its calls would be counted too.
  await first.service.reconciliation.finished;
  const sandbox = await runPod(first);
  const id = await createContainer(first, sandbox);
  // runtime.create and runtime.start: its record says by then whom to look for.
  const crashed = node.host.crashAtCall(2, true);
  first.call('startContainer', { containerId: id }).catch(() => undefined);
  await crashed;
  node.host.end(node.host.containers.get(id)?.init.pid ?? assert.fail('not created'));

  const second = await startOn(t, node);
  await second.service.reconciliation.recovered;
  assert.equal((await containerStatus(second, id)).state, ContainerState.CONTAINER_RUNNING);
  node.host.exit(id, 42);
  await untilExited(second, id);
  const { exitCode, reason } = await containerStatus(second, id);
  assert.deepEqual([exitCode, reason], [42, 'Error']);
});

test('after a reboot a process that has the pid of an earlier one is not taken for it', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const sandbox = await runPod(first);
  const id = await startContainer(first, sandbox);
  const { init, monitor } = first.world.records.containers.get(id).facts;
  const { pause } = first.world.records.sandboxes.get(sandbox).facts;
  first.crash();
  node.host.reboot();
  const strangers = [init, monitor, pause?.init, pause?.monitor].map(
    (process) => process?.pid ?? 0,
  );
  for (const pid of strangers) {
    node.host.alive.add(pid);
  }

  const second = await startOn(t, node);
  await second.service.reconciliation.finished;
  assert.equal((await containerStatus(second, id)).reason, 'Unknown');
  assert.equal((await podStatus(second, sandbox)).state, PodSandboxState.SANDBOX_NOTREADY);
  await second.call('removePodSandbox', { podSandboxId: sandbox });
  for (const call of node.host.killed) {
    assert.deepEqual(call, { init: undefined, monitor: undefined });
  }
});

test('a pod whose record knows no network configuration can be stopped', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const sandbox = await runPod(first);
  const { records } = first.world;
  const { attachment } = records.sandboxes.get(sandbox).facts;
  records.sandboxes.update(sandbox, { facts: { networkConfig: undefined } });
  assert.deepEqual(node.host.detached, []);
  await first.call('stopPodSandbox', { podSandboxId: sandbox });
  assert.deepEqual(node.host.detached, [attachment?.config]);

  const other = await runPod(first, 'other');
  records.sandboxes.update(other, {
    facts: { networkConfig: undefined, attachment: undefined },
  });
  await first.call('stopPodSandbox', { podSandboxId: other });
  assert.equal(node.host.detached.length, 1);
});
