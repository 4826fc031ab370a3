import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isKind, kindOf, messageOf, RuntimeError } from '@gantry/errors';
import { ContainerState, Signal } from '@gantry/proto';
import {
  containerConfig,
  containerStatus,
  createContainer,
  podConfig,
  runPod,
  startAlone,
  startContainer,
} from '../testing.ts';

test('a container is created, runs, exits and is gone', async (t) => {
  const service = await startAlone(t);
  const sandbox = await runPod(service);
  const status = () => containerStatus(service, id);
  const id = await createContainer(service, sandbox);

  const created = await status();
  assert.equal(created.state, ContainerState.CONTAINER_CREATED);
  assert.deepEqual([created.startedAt, created.finishedAt], [0n, 0n]);
  assert.equal(created.image?.image, 'busybox');
  assert.equal(created.imageId, `sha256:${'e'.repeat(64)}`);
  assert.equal(created.imageRef, created.imageId);
  assert.equal(created.stopSignal, Signal.SIGTERM);

  await service.call('startContainer', { containerId: id });
  const running = await status();
  assert.equal(running.state, ContainerState.CONTAINER_RUNNING);
  assert.ok(running.startedAt >= running.createdAt);
  assert.equal(running.finishedAt, 0n);

  service.node.host.exit(id, 0);
  await service.call('stopContainer', { containerId: id, timeout: 5n });
  const exited = await status();
  assert.equal(exited.state, ContainerState.CONTAINER_EXITED);
  assert.deepEqual([exited.exitCode, exited.reason], [0, 'Completed']);

  await service.call('removeContainer', { containerId: id });
  await assert.rejects(status(), (e) => isKind(e, 'not-found'));
  assert.deepEqual([...service.node.host.roots], [sandbox]);
});

test('a container is started once', async (t) => {
  const service = await startAlone(t);
  const containerId = await startContainer(service, await runPod(service));
  await assert.rejects(service.call('startContainer', { containerId }), (error) => {
    assert.equal(kindOf(error), 'failed-precondition');
    assert.match(messageOf(error), /it is running, not created/);
    return true;
  });
});

test('a bad command fails at the start: 128 StartError, then it can be stopped and removed', async (t) => {
  const service = await startAlone(t);
  const { host } = service.node;
  const containerId = await createContainer(service, await runPod(service));
  host.failures.set('runtime.create', new Error('exec: "/nope": no such file or directory'));
  await assert.rejects(service.call('startContainer', { containerId }), /start container/);
  host.failures.clear();

  const status = await containerStatus(service, containerId);
  assert.equal(status.state, ContainerState.CONTAINER_EXITED);
  assert.deepEqual([status.exitCode, status.reason], [128, 'StartError']);
  assert.match(status.message, /no such file/);
  assert.ok(status.finishedAt > 0n);
  await service.call('stopContainer', { containerId, timeout: 1n });
  await service.call('removeContainer', { containerId });
});

test('a start whose caller leaves is undone, and can be tried again', async (t) => {
  const service = await startAlone(t);
  const { host } = service.node;
  const containerId = await createContainer(service, await runPod(service));
  const hold = Promise.withResolvers<void>();
  host.holds.set('runtime.create', hold.promise);
  const caller = new AbortController();
  const start = service.call('startContainer', { containerId }, { signal: caller.signal });
  await new Promise(setImmediate);
  caller.abort();
  hold.resolve();
  host.holds.clear();
  await assert.rejects(start, (e) => kindOf(e) === 'canceled');

  const status = await containerStatus(service, containerId);
  assert.equal(status.state, ContainerState.CONTAINER_CREATED);
  await service.call('startContainer', { containerId });
  assert.equal(host.containers.get(containerId)?.phase, 'running');
});

test('a start whose caller leaves late leaves no process in the record', async (t) => {
  const service = await startAlone(t);
  const { host } = service.node;
  const containerId = await createContainer(service, await runPod(service));
  const hold = Promise.withResolvers<void>();
  host.holds.set('runtime.start', hold.promise);
  const caller = new AbortController();
  const start = service.call('startContainer', { containerId }, { signal: caller.signal });
  const { records } = service.world;
  while (records.containers.get(containerId).facts.init === undefined) {
    await new Promise(setImmediate);
  }
  caller.abort();
  host.failures.set('runtime.start', new Error('no'));
  hold.resolve();
  await assert.rejects(start);
  host.holds.clear();
  host.failures.clear();

  // Who repairs a later start takes a process in the record for one that was let go.
  const { init, monitor, startedAtNanos } = records.containers.get(containerId).facts;
  assert.deepEqual([init, monitor, startedAtNanos], [undefined, undefined, undefined]);
  await service.call('startContainer', { containerId });
  assert.equal(host.containers.get(containerId)?.phase, 'running');
});

test('a program that ends before its start is written down has run and exited', async (t) => {
  const service = await startAlone(t);
  const { host } = service.node;
  const containerId = await createContainer(service, await runPod(service));
  host.onStart = (id) => {
    host.exit(id, 7);
  };
  await service.call('startContainer', { containerId });
  while ((await containerStatus(service, containerId)).state !== ContainerState.CONTAINER_EXITED) {
    await new Promise(setImmediate);
  }
  const status = await containerStatus(service, containerId);
  assert.deepEqual([status.exitCode, status.reason], [7, 'Error']);
  assert.ok(status.finishedAt >= status.startedAt && status.startedAt > 0n);
});

test('a container that the runtime creates but can not start is taken from it again', async (t) => {
  const service = await startAlone(t);
  const { host } = service.node;
  const containerId = await createContainer(service, await runPod(service));
  host.failures.set('runtime.start', new Error('no'));
  await assert.rejects(
    service.call('startContainer', { containerId }),
    /start container .*: start/,
  );
  assert.equal(host.containers.has(containerId), false);
  const status = await containerStatus(service, containerId);
  assert.deepEqual([status.exitCode, status.reason], [128, 'StartError']);
});

for (const call of ['roots.prepare', 'mounts.overlay', 'specs.container']) {
  test(`a container whose ${call} fails leaves nothing, and its name is free`, async (t) => {
    const service = await startAlone(t);
    const { host } = service.node;
    const sandbox = await runPod(service);
    const before = host.leftovers();
    host.failures.set(call, new RuntimeError('invalid-argument', 'user: no such user'));
    await assert.rejects(
      createContainer(service, sandbox),
      (e) => kindOf(e) === 'invalid-argument',
    );
    assert.deepEqual(host.leftovers(), before);
    assert.deepEqual(service.world.records.containers.list(), []);
    host.failures.clear();
    await createContainer(service, sandbox);
  });
}

test('an image that is not there is told by name', async (t) => {
  const service = await startAlone(t);
  const podSandboxId = await runPod(service);
  const config = containerConfig('main', { image: { image: 'nginx' } });
  await assert.rejects(service.call('createContainer', { podSandboxId, config }), (error) => {
    assert.equal(kindOf(error), 'not-found');
    assert.match(messageOf(error), /create container main .*root: image "nginx": not found/);
    return true;
  });
});

test('no container is created or started in a pod that is not ready', async (t) => {
  const service = await startAlone(t);
  const podSandboxId = await runPod(service);
  const containerId = await createContainer(service, podSandboxId);
  await service.call('stopPodSandbox', { podSandboxId });
  await assert.rejects(createContainer(service, podSandboxId, 'other'), (e) =>
    isKind(e, 'failed-precondition'),
  );
  await assert.rejects(service.call('startContainer', { containerId }), (e) =>
    isKind(e, 'failed-precondition'),
  );
  await assert.rejects(createContainer(service, 'a'.repeat(64)), (e) => isKind(e, 'not-found'));
});

const bad: readonly (readonly [name: string, config: object | undefined, message: RegExp])[] = [
  ['no config', undefined, /metadata: missing/],
  ['no name', containerConfig(''), /metadata\.name/],
  ['no image', containerConfig('a', { image: undefined }), /image\.image/],
  ['a log path that climbs', containerConfig('a', { logPath: '../../etc/x' }), /log_path/],
];
for (const [name, config, message] of bad) {
  test(`a container with ${name} is refused and changes nothing`, async (t) => {
    const service = await startAlone(t);
    const podSandboxId = await runPod(service);
    service.node.host.calls.length = 0;
    await assert.rejects(service.call('createContainer', { podSandboxId, config }), (error) => {
      assert.equal(kindOf(error), 'invalid-argument');
      assert.match(messageOf(error), message);
      return true;
    });
    assert.deepEqual(service.node.host.calls, []);
  });
}

test('the log of a container that does not run can not be reopened', async (t) => {
  const service = await startAlone(t);
  const { podSandboxId } = await service.call('runPodSandbox', {
    config: podConfig('web', { logDirectory: `${service.node.directory}/logs` }),
  });
  const config = containerConfig('main', { logPath: 'main/0.log' });
  const { containerId } = await service.call('createContainer', { podSandboxId, config });
  await assert.rejects(service.call('reopenContainerLog', { containerId }), (e) =>
    isKind(e, 'failed-precondition'),
  );
  await service.call('startContainer', { containerId });
  await service.call('reopenContainerLog', { containerId });
  const status = await containerStatus(service, containerId);
  assert.equal(status.logPath, `${service.node.directory}/logs/main/0.log`);
  assert.equal(service.node.host.calls.filter((c) => c.startsWith('runtime.reopenLog')).length, 1);
});

test('a container whose conmon is killed is ended: nobody could tell how it ends', async (t) => {
  const service = await startAlone(t);
  const { host } = service.node;
  const containerId = await startContainer(service, await runPod(service));
  host.end(host.containers.get(containerId)?.monitor.pid ?? 0);
  while (host.containers.has(containerId)) {
    await new Promise(setImmediate);
  }
  const status = await containerStatus(service, containerId);
  assert.equal(status.state, ContainerState.CONTAINER_EXITED);
});
