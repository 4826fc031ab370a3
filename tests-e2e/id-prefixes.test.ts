import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { kindOf } from '@gantry/errors';
import { NamespaceMode } from '@gantry/proto';
import {
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { type Stack, startStack } from './harness/stack.ts';

let stack: Stack;
let pod: RunningPod;
let container: string;
before(async () => {
  stack = await startStack();
  pod = await runPod(stack, podConfig(stack, 'first'));
  container = await startContainer(
    stack,
    pod,
    shellContainer('first', 'exec sleep 1000', { stdin: true }),
  );
});
after(async () => {
  await stack[Symbol.asyncDispose]();
});

type Call = (id: string) => Promise<unknown>;

/** Every method that takes the id of a pod or container; those that end it come last. */
const ofPod: Readonly<Record<string, Call>> = {
  PodSandboxStatus: (podSandboxId) => stack.runtime.podSandboxStatus({ podSandboxId }),
  PodSandboxStats: (podSandboxId) => stack.runtime.podSandboxStats({ podSandboxId }),
  UpdatePodSandboxResources: (podSandboxId) =>
    stack.runtime.updatePodSandboxResources({ podSandboxId }),
  CreateContainer: (podSandboxId) =>
    stack.runtime.createContainer({
      podSandboxId,
      config: shellContainer('second', 'exec sleep 1000'),
      sandboxConfig: pod.config,
    }),
  PortForward: (podSandboxId) => stack.runtime.portForward({ podSandboxId, port: [80] }),
  StopPodSandbox: (podSandboxId) => stack.runtime.stopPodSandbox({ podSandboxId }),
  RemovePodSandbox: (podSandboxId) => stack.runtime.removePodSandbox({ podSandboxId }),
};
const ofContainer: Readonly<Record<string, Call>> = {
  ContainerStatus: (containerId) => stack.runtime.containerStatus({ containerId }),
  ContainerStats: (containerId) => stack.runtime.containerStats({ containerId }),
  UpdateContainerResources: (containerId) =>
    stack.runtime.updateContainerResources({ containerId, linux: { cpuShares: 512n } }),
  ReopenContainerLog: (containerId) => stack.runtime.reopenContainerLog({ containerId }),
  ExecSync: (containerId) => stack.runtime.execSync({ containerId, cmd: ['true'] }),
  Exec: (containerId) => stack.runtime.exec({ containerId, cmd: ['true'], stdout: true }),
  Attach: (containerId) => stack.runtime.attach({ containerId, stdout: true }),
  StopContainer: (containerId) => stack.runtime.stopContainer({ containerId, timeout: 0n }),
  RemoveContainer: (containerId) => stack.runtime.removeContainer({ containerId }),
};
/** Those for which what is not there is done already. */
const idempotent = ['StopPodSandbox', 'RemovePodSandbox', 'StopContainer', 'RemoveContainer'];

test('filters take the beginning of an id, and an unknown one is an empty list', async () => {
  const short = { pod: pod.podSandboxId.slice(0, 13), container: container.slice(0, 13) };
  const { runtime } = stack;
  const lists: Readonly<Record<string, (ids: typeof short) => Promise<readonly unknown[]>>> = {
    ListPodSandbox: async (ids) =>
      (await runtime.listPodSandbox({ filter: { id: ids.pod } })).items.map((p) => p.id),
    ListContainers: async (ids) =>
      (await runtime.listContainers({ filter: { id: ids.container } })).containers.map(
        (c) => c.podSandboxId,
      ),
    'ListContainers of a pod': async (ids) =>
      (await runtime.listContainers({ filter: { podSandboxId: ids.pod } })).containers.map(
        (c) => c.podSandboxId,
      ),
    ListContainerStats: async (ids) =>
      (await runtime.listContainerStats({ filter: { id: ids.container } })).stats.map(
        () => pod.podSandboxId,
      ),
    'ListContainerStats of a pod': async (ids) =>
      (await runtime.listContainerStats({ filter: { podSandboxId: ids.pod } })).stats.map(
        () => pod.podSandboxId,
      ),
    ListPodSandboxStats: async (ids) =>
      (await runtime.listPodSandboxStats({ filter: { id: ids.pod } })).stats.map(
        (s) => s.attributes?.id,
      ),
    StreamPodSandboxes: async (ids) => {
      const pages = await Array.fromAsync(runtime.streamPodSandboxes({ filter: { id: ids.pod } }));
      return pages.flatMap((page) => page.podSandboxes.map((p) => p.id));
    },
    StreamContainers: async (ids) => {
      const pages = await Array.fromAsync(
        runtime.streamContainers({ filter: { id: ids.container } }),
      );
      return pages.flatMap((page) => page.containers.map((c) => c.podSandboxId));
    },
    StreamContainerStats: async (ids) => {
      const pages = await Array.fromAsync(
        runtime.streamContainerStats({ filter: { id: ids.container } }),
      );
      return pages.flatMap((page) => page.containerStats.map(() => pod.podSandboxId));
    },
    StreamPodSandboxStats: async (ids) => {
      const pages = await Array.fromAsync(
        runtime.streamPodSandboxStats({ filter: { id: ids.pod } }),
      );
      return pages.flatMap((page) => page.podSandboxStats.map((s) => s.attributes?.id));
    },
  };
  const unknown = { pod: '0'.repeat(64), container: '0'.repeat(64) };
  for (const [name, list] of Object.entries(lists)) {
    assert.deepEqual(await list(short), [pod.podSandboxId], name);
    assert.deepEqual(await list(unknown), [], name);
  }
});

test('what is unknown is not found, or done already; what is empty is invalid', async () => {
  const expected = (name: string) => (idempotent.includes(name) ? 'ok' : 'not-found');
  for (const [name, call] of Object.entries({ ...ofPod, ...ofContainer })) {
    const answer = (id: string) => call(id).then(() => 'ok', kindOf);
    assert.equal(await answer('f'.repeat(64)), expected(name), name);
    assert.equal(await answer('no-id-at-all'), expected(name), name);
    assert.equal(await answer(''), 'invalid-argument', name);
  }
});

test('the beginning of an id will do in every method, where it is of one alone', async () => {
  // Of 17 ids two begin alike.
  const linux = { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } };
  const pods = await Promise.all(
    Array.from({ length: 17 }, (_, i) => runPod(stack, podConfig(stack, `p-${i}`, { linux }))),
  );
  const created = await Promise.all(
    Array.from({ length: 17 }, async (_, i) => {
      const { containerId } = await stack.runtime.createContainer({
        podSandboxId: pod.podSandboxId,
        config: shellContainer(`c-${i}`, 'true'),
        sandboxConfig: pod.config,
      });
      return containerId;
    }),
  );
  const twice = (ids: readonly string[]) =>
    ids
      .map(([first]) => first)
      .find((first, at, all) => first !== undefined && all.indexOf(first) !== at) ??
    assert.fail('no two begin alike');
  const ambiguous = {
    pod: twice([pod.podSandboxId, ...pods.map((p) => p.podSandboxId)]),
    container: twice([container, ...created]),
  };
  for (const [name, call] of Object.entries(ofContainer)) {
    await assert.rejects(
      call(ambiguous.container),
      { kind: 'invalid-argument', message: /more than one/ },
      name,
    );
  }
  for (const [name, call] of Object.entries(ofPod)) {
    await assert.rejects(
      call(ambiguous.pod),
      { kind: 'invalid-argument', message: /more than one/ },
      name,
    );
  }
  for (const { podSandboxId } of pods) {
    await removePod(stack, podSandboxId);
  }
  for (const [name, call] of Object.entries(ofContainer)) {
    await call(container.slice(0, 13)).catch((cause: unknown) => {
      throw new Error(name, { cause });
    });
  }
  await assert.rejects(stack.runtime.containerStatus({ containerId: container }), {
    kind: 'not-found',
  });
  for (const [name, call] of Object.entries(ofPod)) {
    await call(pod.podSandboxId.slice(0, 13)).catch((cause: unknown) => {
      throw new Error(name, { cause });
    });
  }
  assert.deepEqual((await stack.runtime.listPodSandbox({})).items, []);
  assert.deepEqual((await stack.runtime.listContainers({})).containers, []);
});

test('verbose answers have the keys that tools read', async () => {
  const annotations = { note: 'kept' };
  const shown = await runPod(
    stack,
    podConfig(stack, 'shown', {
      annotations,
      linux: { overhead: { cpuShares: 10n }, resources: { cpuShares: 100n } },
    }),
  );
  const id = await startContainer(stack, shown, shellContainer('c', 'exec sleep 1000'));
  const infoOf = ({ info }: { info: Record<string, string> }) =>
    JSON.parse(info['info'] ?? '{}') as Record<string, unknown>;
  const ofSandbox = infoOf(await stack.runtime.podSandboxStatus({ ...shown, verbose: true }));
  assert.deepEqual(Object.keys(ofSandbox).sort(), [
    'cniResult',
    'config',
    'image',
    'netNamespaceClosed',
    'overhead',
    'pid',
    'processStatus',
    'resources',
    'runtimeHandler',
    'runtimeOptions',
    'runtimeSpec',
    'runtimeType',
    'sandboxMetadata',
    'snapshotKey',
    'snapshotter',
  ]);
  assert.ok(Number(ofSandbox['pid']) > 1);
  assert.equal(ofSandbox['processStatus'], 'running');
  assert.equal(ofSandbox['netNamespaceClosed'], false);
  assert.deepEqual(ofSandbox['overhead'], { cpu_shares: '10' });
  assert.deepEqual(ofSandbox['resources'], { cpu_shares: '100' });
  assert.deepEqual((ofSandbox['config'] as { annotations: unknown }).annotations, annotations);
  assert.ok(Array.isArray((ofSandbox['runtimeSpec'] as { mounts: unknown }).mounts));
  assert.ok(Array.isArray((ofSandbox['cniResult'] as { ips: unknown }).ips));
  assert.equal(
    (ofSandbox['sandboxMetadata'] as { NetNSPath: string }).NetNSPath,
    join(stack.stateDir, 'netns', shown.podSandboxId),
  );

  const info = infoOf(await stack.runtime.containerStatus({ containerId: id, verbose: true }));
  const keys = ['sandboxID', 'pid', 'removing', 'snapshotKey', 'snapshotter', 'runtimeType'];
  for (const key of [...keys, 'runtimeOptions', 'config', 'runtimeSpec', 'privileged']) {
    assert.ok(key in info, key);
  }
  assert.equal(info['sandboxID'], shown.podSandboxId);
  assert.ok(Number(info['pid']) > 1);
  assert.equal(info['removing'], false);
  assert.equal(info['privileged'], false);
  assert.ok(Array.isArray((info['runtimeSpec'] as { mounts: unknown }).mounts));
  const quiet = await stack.runtime.containerStatus({ containerId: id });
  assert.deepEqual(quiet.info, {});

  const status = await stack.runtime.status({ verbose: true });
  const config = JSON.parse(status.info['config'] ?? '{}') as Record<string, unknown>;
  assert.equal(config['stateDir'], stack.stateDir);
  assert.equal(config['maxContainerLogLineSize'], 8192);
  assert.match(status.info['cniconfig'] ?? '', /10-test\.conflist/);
  assert.equal(status.info['lastCNILoadStatus'], 'OK');
  assert.deepEqual((await stack.runtime.status({})).info, {});

  await stack.runtime.stopPodSandbox(shown);
  const stopped = infoOf(await stack.runtime.podSandboxStatus({ ...shown, verbose: true }));
  assert.equal(stopped['netNamespaceClosed'], true);
  assert.equal(stopped['pid'], 0);
  assert.equal(stopped['processStatus'], 'deleted');
  await stack.runtime.removePodSandbox(shown);
});

test('handlers and features are told as they are, the default handler also without a name', async () => {
  const { runtimeHandlers, features, status } = await stack.runtime.status({});
  const names = runtimeHandlers.map(({ name }) => name);
  assert.ok(names.includes('') && names.includes('runc'));
  const byName = (wanted: string) => runtimeHandlers.find(({ name }) => name === wanted)?.features;
  assert.deepEqual(byName(''), byName('runc'));
  assert.equal(features?.supplementalGroupsPolicy, true);
  assert.deepEqual(
    status?.conditions.map((c) => [c.type, c.status, c.reason, c.message]),
    [
      ['RuntimeReady', true, '', ''],
      ['NetworkReady', true, '', ''],
    ],
  );
  const version = await stack.runtime.version({});
  assert.equal(version.runtimeApiVersion, 'v1');
  assert.equal(version.version, '0.1.0');
  const { linux } = await stack.runtime.runtimeConfig({});
  assert.equal(linux?.cgroupDriver, 1);
});
