import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type DescMessage, fromBinary, toBinary } from '@bufbuild/protobuf';
import { isKind, kindOf, messageOf } from '@gantry/errors';
import {
  CgroupDriver,
  Diagnostics,
  RuntimeService,
  type StreamContainersResponse,
  type StreamPodSandboxesResponse,
  Targets,
} from '@gantry/proto';
import {
  newNode,
  runPod,
  startAlone,
  startContainer,
  startOn,
  type TestService,
} from '../testing.ts';

/** Calls a method of any service, as the bus would; the answers of a stream in order. */
async function ask(
  { service }: TestService,
  method: { name: string; parent: { typeName: string }; input: DescMessage; output: DescMessage },
  request: Record<string, unknown>,
): Promise<unknown[]> {
  const handler = service.handlers.get(`${method.parent.typeName}/${method.name}`);
  assert.ok(handler !== undefined);
  const body = toBinary(method.input, create(method.input, request));
  const context = { signal: new AbortController().signal, method: method.name };
  const answers: unknown[] = [];
  if (handler.kind === 'unary') {
    answers.push(fromBinary(method.output, await handler.handle(body, context)));
  } else {
    for await (const part of handler.handle(body, context)) {
      answers.push(fromBinary(method.output, part));
    }
  }
  return answers;
}

test('the version has nothing empty: a kubelet would refuse it', async (t) => {
  const { runtimeVersion, runtimeName, version, runtimeApiVersion } = await (
    await startAlone(t)
  ).call('version', {});
  assert.deepEqual(
    [version, runtimeName, runtimeVersion, runtimeApiVersion],
    ['0.1.0', 'gantry', '1.2.3', 'v1'],
  );
});

test('the node is ready when its default handler and its network are', async (t) => {
  const node = await newNode(t);
  node.host.handlers.push({
    name: 'crun',
    path: '/crun',
    systemdCgroup: true,
    unusable: 'hybrid',
    privilegedWithoutHostDevices: false,
  });
  const service = await startOn(t, node);
  const ready = async () =>
    (await service.call('status', {})).status?.conditions.map((c) => [c.type, c.status]);
  assert.deepEqual(await ready(), [
    ['RuntimeReady', true],
    ['NetworkReady', true],
  ]);
  node.host.networkReady = false;
  assert.deepEqual((await ready())?.at(1), ['NetworkReady', false]);
  const { runtimeHandlers } = await service.call('status', {});
  assert.deepEqual(
    runtimeHandlers.map((handler) => handler.name),
    ['', 'runc'],
  );
  await assert.rejects(
    service.call('runPodSandbox', {
      config: { metadata: { name: 'a', namespace: 'b', uid: 'c' } },
      runtimeHandler: 'crun',
    }),
    (error) => kindOf(error) === 'failed-precondition' && /hybrid/.test(messageOf(error)),
  );
});

test('the cgroup driver is that of the default handler', async (t) => {
  const { linux } = await (await startAlone(t)).call('runtimeConfig', {});
  assert.equal(linux?.cgroupDriver, CgroupDriver.CGROUPFS);
});

test('the pod CIDR of the node is kept', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  await first.call('updateRuntimeConfig', {
    runtimeConfig: { networkConfig: { podCidr: '10.1.0.0/24' } },
  });
  await first.call('updateRuntimeConfig', {});
  first.crash();
  const second = await startOn(t, node);
  const { info } = await second.call('status', { verbose: true });
  assert.match(info['config'] ?? '', /"podCIDR":"10\.1\.0\.0\/24"/);
});

test('streamed lists have what the lists have, and no message where nothing matches', async (t) => {
  const service = await startAlone(t);
  const sandbox = await runPod(service);
  const container = await startContainer(service, sandbox);
  const { streamPodSandboxes, streamContainers } = RuntimeService.method;
  const pods = (await ask(service, streamPodSandboxes, {})) as StreamPodSandboxesResponse[];
  assert.deepEqual(
    pods.flatMap((part) => part.podSandboxes.map((pod) => pod.id)),
    [sandbox],
  );
  const containers = (await ask(service, streamContainers, {})) as StreamContainersResponse[];
  assert.deepEqual(
    containers.flatMap((part) => part.containers.map((c) => c.id)),
    [container],
  );
  const none = { filter: { labelSelector: { app: 'other' } } };
  assert.deepEqual(await ask(service, streamPodSandboxes, none), []);
});

test('verbose status tells the pid and the spec under the keys of the peers', async (t) => {
  const service = await startAlone(t);
  const podSandboxId = await runPod(service);
  const containerId = await startContainer(service, podSandboxId);
  const { containers } = service.node.host;
  const pod = await service.call('podSandboxStatus', { podSandboxId, verbose: true });
  const podInfo = JSON.parse(pod.info['info'] ?? '') as Record<string, unknown>;
  assert.equal(podInfo['pid'], containers.get(podSandboxId)?.init.pid);
  assert.deepEqual(podInfo['cniResult'], { ok: 1 });
  const container = await service.call('containerStatus', { containerId, verbose: true });
  const info = JSON.parse(container.info['info'] ?? '') as Record<string, unknown>;
  assert.equal(info['pid'], containers.get(containerId)?.init.pid);
  assert.equal(info['sandboxID'], podSandboxId);
  assert.equal((info['runtimeSpec'] as { process: { cwd: string } }).process.cwd, '/');
  assert.deepEqual((await service.call('containerStatus', { containerId })).info, {});
});

test('an exec gets the runtime, its root and the process of the container', async (t) => {
  const service = await startAlone(t);
  const sandbox = await runPod(service);
  const id = await startContainer(service, sandbox);
  const { getExecTarget } = Targets.method;
  const [target] = (await ask(service, getExecTarget, { containerId: id.slice(0, 12) })) as {
    containerId: string;
    podSandboxId: string;
    runtimePath: string;
    runtimeArgs: string[];
    processJson: Uint8Array;
    pid: number;
    attachSocket: string;
    controlFifo: string;
  }[];
  assert.equal(target?.containerId, id);
  const bundle = service.world.paths.bundle(id);
  assert.equal(target.attachSocket, `${bundle}/attach`);
  assert.equal(target.controlFifo, `${bundle}/ctl`);
  assert.equal(target.podSandboxId, sandbox);
  assert.deepEqual(target.runtimeArgs, [`--root=${service.node.config.state_dir}/runtimes/runc`]);
  const process = JSON.parse(Buffer.from(target.processJson).toString()) as { args: string[] };
  assert.deepEqual(process.args, ['/bin/true']);

  await service.call('stopContainer', { containerId: id });
  await assert.rejects(ask(service, getExecTarget, { containerId: id }), (error) =>
    isKind(error, 'failed-precondition'),
  );
});

test('a port-forward gets the network namespace, as long as the pod is ready', async (t) => {
  const service = await startAlone(t);
  const id = await runPod(service);
  const { getPodTarget } = Targets.method;
  const [target] = await ask(service, getPodTarget, { podSandboxId: id.slice(0, 12) });
  const { podSandboxId, netnsPath } = target as { podSandboxId: string; netnsPath: string };
  assert.deepEqual([podSandboxId, netnsPath], [id, service.world.paths.netns(id)]);

  await service.call('stopPodSandbox', { podSandboxId: id });
  await assert.rejects(ask(service, getPodTarget, { podSandboxId: id }), (error) =>
    isKind(error, 'failed-precondition'),
  );
  await assert.rejects(ask(service, getPodTarget, { podSandboxId: 'nobody' }), (error) =>
    isKind(error, 'not-found'),
  );
});

test('what was done to a pod can be asked for, also when it failed or is gone, and without secrets', async (t) => {
  const service = await startAlone(t);
  const { host } = service.node;
  host.failures.set('network.attach', new Error('no more addresses'));
  await assert.rejects(runPod(service));
  host.failures.clear();
  const failed = host.calls.find((call) => call.startsWith('roots.prepare'))?.split(' ')[1] ?? '';
  const explained = async (id: string) => {
    const [answer] = await ask(service, Diagnostics.method.explain, { id });
    interface Explained {
      kind: string;
      name?: string;
      phase?: string;
      operations: { kind: string; outcome: string; error: string; trail: { step: string }[] }[];
      containers?: Explained[];
    }
    return JSON.parse((answer as { json: string }).json) as Explained;
  };
  const { kind, operations } = await explained(failed.slice(0, 10));
  assert.equal(kind, 'gone');
  assert.equal(operations.at(0)?.outcome, 'failed');
  assert.match(operations.at(0)?.error ?? '', /network: no more addresses/);

  const sandbox = await runPod(service);
  const { containerId } = await service.call('createContainer', {
    podSandboxId: sandbox,
    config: {
      metadata: { name: 'main' },
      image: { image: 'busybox' },
      envs: [{ key: 'TOKEN', value: Buffer.from('hunter2') }],
    },
  });
  const told = JSON.stringify(await explained(containerId));
  assert.match(told, /"phase":"created"/);
  assert.doesNotMatch(told, new RegExp(`TOKEN|${Buffer.from('hunter2').toString('base64')}`));
  await assert.rejects(
    service.call('createContainer', {
      podSandboxId: sandbox,
      config: { metadata: { name: 'none' }, image: { image: 'gone' } },
    }),
  );
  const { containers = [] } = await explained(sandbox);
  assert.deepEqual(
    containers.map((one) => [one.kind, one.name, one.phase, one.operations.at(-1)?.outcome]),
    [
      ['container', 'main', 'created', 'done'],
      ['gone', undefined, undefined, 'failed'],
    ],
  );
  await assert.rejects(explained('f'.repeat(64)), (error) => isKind(error, 'not-found'));
});

test('running and existing containers are counted, pause containers with them', async (t) => {
  const service = await startAlone(t);
  const sandbox = await runPod(service);
  const id = await startContainer(service, sandbox);
  const value = async (name: string) =>
    Number(new RegExp(`^${name}.* (\\d+)$`, 'm').exec(await service.world.metrics.metrics())?.[1]);
  assert.deepEqual(
    [await value('containerd_task_count'), await value('containerd_container_count')],
    [2, 2],
  );
  await service.call('stopContainer', { containerId: id });
  assert.deepEqual(
    [await value('containerd_task_count'), await value('containerd_container_count')],
    [1, 2],
  );
});
