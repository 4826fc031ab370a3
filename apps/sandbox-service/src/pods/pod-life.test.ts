import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isKind, kindOf, messageOf, RuntimeError } from '@gantry/errors';
import { NamespaceMode, PodSandboxState } from '@gantry/proto';
import { podConfig, podStatus, runPod, startAlone, startContainer } from '../testing.ts';

test('a pod runs, stops and is gone, and nothing stays on the host', async (t) => {
  const service = await startAlone(t);
  const id = await runPod(service);

  const running = await podStatus(service, id);
  assert.equal(running.state, PodSandboxState.SANDBOX_READY);
  assert.equal(running.network?.ip, '10.0.0.7');
  assert.deepEqual(
    running.network.additionalIps.map((other) => other.ip),
    ['fd00::7'],
  );
  assert.ok(running.createdAt > 0n);

  await service.call('stopPodSandbox', { podSandboxId: id });
  const stopped = await podStatus(service, id);
  assert.equal(stopped.state, PodSandboxState.SANDBOX_NOTREADY);
  assert.equal(stopped.network?.ip, '');
  assert.deepEqual(service.node.host.leftovers(), []);

  await service.call('removePodSandbox', { podSandboxId: id });
  await assert.rejects(service.call('podSandboxStatus', { podSandboxId: id }), (e) =>
    isKind(e, 'not-found'),
  );
});

test('a pod that runs is removed with its containers', async (t) => {
  const service = await startAlone(t);
  const id = await runPod(service);
  await startContainer(service, id);
  await service.call('removePodSandbox', { podSandboxId: id });

  assert.deepEqual(service.node.host.leftovers(), []);
  assert.deepEqual(service.world.records.containers.list(), []);
  assert.equal(service.world.records.sandboxes.list().length, 0);
  assert.equal(await runPod(service).then((again) => again.length), 64);
});

test('a pod of many containers goes a few at a time, and others are heard meanwhile', async (t) => {
  const service = await startAlone(t);
  const podSandboxId = await runPod(service);
  for (let i = 0; i < 30; i += 1) {
    await startContainer(service, podSandboxId, `c${String(i)}`);
  }
  const { runtime } = service.world;
  const deleteOne = runtime.delete.bind(runtime);
  const now = { running: 0, most: 0 };
  runtime.delete = async (handler, id) => {
    now.running += 1;
    now.most = Math.max(now.most, now.running);
    await new Promise(setImmediate);
    await deleteOne(handler, id);
    now.running -= 1;
  };
  let turns = 0;
  let isOver = false;
  const turn = (): void => {
    turns += 1;
    if (!isOver) {
      setImmediate(turn);
    }
  };
  turn();
  await service.call('stopPodSandbox', { podSandboxId });
  isOver = true;
  // Beside those of the step the watch for exits may delete one.
  assert.ok(now.most <= 9, `${String(now.most)} at once`);
  assert.ok(turns > 30, `${String(turns)} turns`);
  await service.call('removePodSandbox', { podSandboxId });
  assert.deepEqual(service.node.host.leftovers(), []);
});

test('stopping and removing twice, or what nobody knows, is a success', async (t) => {
  const service = await startAlone(t);
  const podSandboxId = await runPod(service);
  for (const id of [podSandboxId, podSandboxId, 'f'.repeat(64), 'nothing-like-an-id']) {
    await service.call('stopPodSandbox', { podSandboxId: id });
  }
  for (const id of [podSandboxId, podSandboxId, 'f'.repeat(64)]) {
    await service.call('removePodSandbox', { podSandboxId: id });
  }
  assert.deepEqual(service.node.host.leftovers(), []);
});

const steps = [
  'namespaces.createNetns',
  'network.attach',
  'roots.prepare',
  'mounts.overlay',
  'mounts.tmpfs',
  'specs.pause',
  'runtime.create',
  'runtime.start',
];
for (const call of steps) {
  test(`a pod whose ${call} fails leaves nothing, and its name is free`, async (t) => {
    const service = await startAlone(t);
    const { host } = service.node;
    host.failures.set(call, new RuntimeError('resource-exhausted', 'no space left on device'));
    await assert.rejects(service.call('runPodSandbox', { config: podConfig() }), (error) => {
      assert.equal(kindOf(error), 'resource-exhausted');
      assert.match(
        messageOf(error),
        /^run pod sandbox default\/web: [a-z]+: no space left on device$/,
      );
      return true;
    });
    assert.deepEqual(host.leftovers(), []);
    assert.deepEqual((await service.call('listPodSandbox', {})).items, []);

    host.failures.clear();
    assert.equal((await runPod(service)).length, 64);
  });
}

test('a pod that can not be undone is shown as not ready, so that it can be removed', async (t) => {
  const service = await startAlone(t);
  const { host } = service.node;
  host.failures.set('runtime.create', new Error('boom'));
  host.failures.set('network.detach', new Error('plugin hangs'));
  await assert.rejects(
    service.call('runPodSandbox', { config: podConfig() }),
    /create: boom; and then .*undo network: plugin hangs/,
  );

  const left = (await service.call('listPodSandbox', {})).items.at(0);
  assert.equal(left?.state, PodSandboxState.SANDBOX_NOTREADY);
  host.failures.clear();
  await service.call('removePodSandbox', { podSandboxId: left.id });
  assert.deepEqual(host.leftovers(), []);
});

test('a stop that fails half-way has done the rest, and the next one ends it', async (t) => {
  const service = await startAlone(t);
  const { host } = service.node;
  const podSandboxId = await runPod(service);
  host.failures.set('network.detach', new Error('plugin says no'));
  await assert.rejects(service.call('stopPodSandbox', { podSandboxId }), /network/);

  assert.equal(host.containers.size, 0);
  assert.equal(host.mounts.size, 0);
  assert.equal(host.netns.size, 1);
  host.failures.clear();
  await service.call('stopPodSandbox', { podSandboxId });
  assert.deepEqual(host.leftovers(), []);
});

test('a pod on the network of the host gets no namespace and no address', async (t) => {
  const service = await startAlone(t);
  const { host } = service.node;
  host.networkReady = false;
  const linux = { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } };
  const { podSandboxId } = await service.call('runPodSandbox', {
    config: podConfig('host', { linux }),
  });
  assert.equal(host.netns.size, 0);
  assert.equal(host.addresses.size, 0);
  const status = await podStatus(service, podSandboxId);
  assert.equal(status.network?.ip, '');
  await service.call('removePodSandbox', { podSandboxId });
  assert.equal(host.calls.includes('network.detach'), false);
});

test('a pod whose pause container dies is not ready, and keeps its address', async (t) => {
  const service = await startAlone(t);
  const podSandboxId = await runPod(service);
  service.node.host.exit(podSandboxId, 0);
  await service.world.locks
    .lock(service.world.paths.lock(podSandboxId))
    .then((lock) => lock[Symbol.asyncDispose]());
  const status = await podStatus(service, podSandboxId);
  assert.equal(status.state, PodSandboxState.SANDBOX_NOTREADY);
  assert.equal(status.network?.ip, '10.0.0.7');
});

test('an unknown runtime handler is refused with the known ones, one that can not run with its reason', async (t) => {
  const service = await startAlone(t);
  await assert.rejects(
    service.call('runPodSandbox', { config: podConfig(), runtimeHandler: 'kata' }),
    (error) =>
      /^run pod sandbox default\/web: .*"kata" is not configured; known: runc/.test(
        messageOf(error),
      ),
  );
  assert.deepEqual(service.node.host.calls, [
    'runtime.watchExits',
    'runtime.list',
    'network.collect',
    'roots.list',
  ]);
});

const bad: readonly (readonly [name: string, config: object | undefined, message: RegExp])[] = [
  ['no config', undefined, /metadata: missing/],
  ['no metadata', { metadata: undefined }, /metadata: missing/],
  ['an empty name', podConfig(''), /metadata\.name: must not be empty/],
  [
    'a host name that Linux does not take',
    podConfig('a', { hostname: 'x'.repeat(65) }),
    /hostname/,
  ],
  [
    'a line break in its DNS',
    podConfig('a', { dnsConfig: { servers: ['1.1.1.1\noptions debug'] } }),
    /dns_config/,
  ],
  ['a relative log directory', podConfig('a', { logDirectory: 'logs' }), /log_directory/],
  [
    'a log directory that climbs',
    podConfig('a', { logDirectory: '/logs/../etc' }),
    /log_directory/,
  ],
  [
    'a cgroup parent that climbs',
    podConfig('a', { linux: { cgroupParent: '/a/../../b' } }),
    /cgroup_parent/,
  ],
  [
    'the processes of a container for a pod',
    podConfig('a', {
      linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.TARGET } } },
    }),
    /pid: TARGET is for containers/,
  ],
];
for (const [name, config, message] of bad) {
  test(`a pod with ${name} is refused and changes nothing`, async (t) => {
    const service = await startAlone(t);
    service.node.host.calls.length = 0;
    await assert.rejects(service.call('runPodSandbox', { config }), (error) => {
      assert.equal(kindOf(error), 'invalid-argument');
      assert.match(messageOf(error), message);
      return true;
    });
    assert.deepEqual(service.node.host.calls, []);
  });
}

test('the conmon of a pod is watched, also when the caller did not wait for the pod', async (t) => {
  const service = await startAlone(t);
  const { host } = service.node;
  const { records } = service.world;
  const hold = Promise.withResolvers<void>();
  host.holds.set('runtime.start', hold.promise);
  const caller = new AbortController();
  const run = service.call(
    'runPodSandbox',
    { config: podConfig() },
    { signal: caller.signal, deadlineMs: Date.now() },
  );
  await new Promise(setImmediate);
  caller.abort(new DOMException('late', 'TimeoutError'));
  await assert.rejects(run);
  hold.resolve();
  const pod = () => records.sandboxes.list()[0] ?? assert.fail('no pod');
  while (pod().phase !== 'ready') {
    await new Promise(setImmediate);
  }
  // Killed: it writes no exit record that would tell.
  host.end(pod().facts.pause?.monitor.pid ?? assert.fail('no pause container'));
  while (pod().phase !== 'notready') {
    t.signal.throwIfAborted();
    await new Promise(setImmediate);
  }
});
