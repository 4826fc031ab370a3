/*
 * What plugins wanted, and who wanted it, outlives kill -9 of the services.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { definePlugin, type RunningPlugin } from '@gantry/nri';
import { type NriStack, startNriStack, unhurried } from './harness/nri.ts';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { runDir } from './harness/run-dir.ts';
import { killServices } from './harness/services.ts';
import { until } from './harness/until.ts';

let stack: NriStack;
let faultFile: string;
let shrinker: RunningPlugin;
/** Containers that are to get these limits when another one named `shrinks` is made or updated. */
let targets: readonly string[] = [];
const memoryBytes = 40 << 20;

const shrinking = (name: string) =>
  name === 'shrinks'
    ? targets.map((containerId) => ({ containerId, limits: { memoryBytes } }))
    : [];

before(async () => {
  const dir = await mkdtemp(join(runDir(), 'nri-'));
  faultFile = join(dir, 'fault');
  stack = await startNriStack(dir, unhurried, { environment: { GANTRY_FAULT_FILE: faultFile } });
  const plugin = definePlugin({
    name: 'shrinker',
    index: 20,
    createContainer: (_, { name }) => ({ env: { SEEN: name }, updates: shrinking(name) }),
    updateContainer: (_, { name }) => ({ limits: { pids: 77 }, updates: shrinking(name) }),
  });
  shrinker = await stack.plug(plugin);
});
after(async () => {
  await shrinker[Symbol.asyncDispose]();
  await rm(faultFile, { force: true });
  await stack[Symbol.asyncDispose]();
});

/** A pod with a container whose limits are to change. */
async function startTarget(t: TestContext, name: string) {
  const pod = await runPod(stack, podConfig(stack, name));
  t.after(() => removePod(stack, pod.podSandboxId));
  const target = await startContainer(stack, pod, shellContainer('target', 'exec sleep 1000'));
  targets = [target];
  t.after(() => {
    targets = [];
  });
  return { pod, target };
}

/** Waits until the kernel has the limit; the services may be away at first. */
async function untilLimited(containerId: string): Promise<void> {
  const files = '/sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes';
  const cmd = ['/bin/sh', '-c', `cat ${files} 2>/dev/null; true`];
  await until(
    'limit',
    () =>
      stack.runtime
        .execSync({ containerId, cmd, timeout: 10n })
        .then(({ stdout }) => Buffer.from(stdout).toString().trim(), String),
    (now) => now === String(memoryBytes),
  );
}

async function dieAtUpdates(request: () => Promise<unknown>): Promise<void> {
  await writeFile(faultFile, 'plugin-updates:apply');
  await assert.rejects(request(), { kind: 'unavailable' });
  assert.equal(existsSync(faultFile), false);
}

test('limits of others that came with a new container are set after kill -9', async (t) => {
  const { pod, target } = await startTarget(t, 'crash-create');
  await dieAtUpdates(() =>
    stack.runtime.createContainer({
      podSandboxId: pod.podSandboxId,
      config: shellContainer('shrinks', 'exec sleep 1000'),
      sandboxConfig: pod.config,
    }),
  );
  await untilLimited(target);
  const owners = await stack.gantryOk('nri', 'owners', target);
  assert.match(owners, /^MemLimit +20-shrinker +set$/m);
});

test('limits of others that came with an update are set after kill -9, and its own', async (t) => {
  const { pod, target } = await startTarget(t, 'crash-update');
  targets = [];
  const containerId = await startContainer(
    stack,
    pod,
    shellContainer('shrinks', 'exec sleep 1000'),
  );
  targets = [target];
  await dieAtUpdates(() =>
    stack.runtime.updateContainerResources({ containerId, linux: { cpuShares: 300n } }),
  );
  await untilLimited(target);
  const owners = await stack.gantryOk('nri', 'owners', containerId);
  assert.match(owners, /^PidsLimit +20-shrinker +set$/m);
});

test('gantry nri owners knows after all services were killed, until the container goes', async (t) => {
  const { target } = await startTarget(t, 'owners');
  const before = await stack.gantryOk('nri', 'owners', target);
  assert.match(before, /^Env +SEEN +20-shrinker +set$/m);
  killServices(stack, 'nri-broker', 'sandbox-service');
  await stack.untilPlugged('20-shrinker');
  assert.equal(await stack.gantryOk('nri', 'owners', target.slice(0, 12)), before);
  await stack.runtime.removeContainer({ containerId: target });
  const { exitCode, stderr } = await stack.gantry('nri', 'owners', target);
  assert.notEqual(exitCode, 0);
  assert.match(stderr, /not found/);
});

/** A plugin that keeps what it is told of the pods of that name; `told` runs before it answers. */
async function plugWitness(t: TestContext, podName: string, told: (event: string) => void) {
  const seen: string[] = [];
  const note = (pod: { name: string }, event: string): void => {
    if (pod.name === podName) {
      seen.push(event);
      told(event);
    }
  };
  const witness = await stack.plug(
    definePlugin({
      name: 'witness',
      index: 85,
      stopContainer: (pod, { name }) => {
        note(pod, `stop ${name}`);
      },
      removeContainer: (pod, { name }) => {
        note(pod, `remove ${name}`);
      },
      stopPodSandbox: (pod) => {
        note(pod, 'stop-pod');
      },
      removePodSandbox: (pod) => {
        note(pod, 'remove-pod');
      },
    }),
  );
  t.after(() => witness[Symbol.asyncDispose]());
  return seen;
}

/** Waits until plugins are told of the pod's removal, and nothing is left to be told. */
async function untilToldOfAll(seen: readonly string[]): Promise<void> {
  const removals = join(stack.stateDir, 'plugin-removals');
  await until(
    'told of all',
    async () => [...seen, ...(await readdir(removals))],
    (left) => left.includes('remove-pod') && !left.some((name) => name.endsWith('.json')),
    60_000,
  );
}

test('stops and removals are told once when the broker dies in the middle of telling', async (t) => {
  /** The broker dies when the plugin has been told of the first of each, and has not answered. */
  const deadly = new Set(['stop a', 'remove b', 'stop-pod', 'remove-pod']);
  const seen = await plugWitness(t, 'told-once', (event) => {
    if (deadly.delete(event)) {
      killServices(stack, 'nri-broker');
    }
  });
  const pod = await runPod(stack, podConfig(stack, 'told-once'));
  const a = await startContainer(stack, pod, shellContainer('a', 'exec sleep 1000'));
  const b = await startContainer(stack, pod, shellContainer('b', 'exec sleep 1000'));
  await stack.runtime.stopContainer({ containerId: a, timeout: 0n });
  await stack.untilPlugged('85-witness');
  await stack.runtime.removeContainer({ containerId: b });
  // From here on at once, also while the broker is away.
  await stack.runtime.removeContainer({ containerId: a });
  await removePod(stack, pod.podSandboxId);
  await untilToldOfAll(seen);
  assert.deepEqual(seen.toSorted(), [
    'remove a',
    'remove b',
    'remove-pod',
    'stop a',
    'stop b',
    'stop-pod',
  ]);
  assert.equal(seen.at(-1), 'remove-pod');
});

for (const [point, when] of [
  ['told-journal:telling', 'right before'],
  ['told-journal:sent', 'right after'],
] as const) {
  test(`each stop and removal is told once when the broker dies ${when} the last byte of each`, async (t) => {
    const name = point.replace(':', '-');
    const seen = await plugWitness(t, name, () => undefined);
    const dying = async (events: number, request: () => Promise<unknown>): Promise<void> => {
      await writeFile(faultFile, point);
      await request();
      await until(
        `told of ${events}, by a broker after one that died`,
        () => Promise.resolve([seen.length, existsSync(faultFile)].join()),
        (now) => now === `${events},false`,
        60_000,
      );
      await stack.untilPlugged('85-witness');
    };
    const pod = await runPod(stack, podConfig(stack, name));
    const { podSandboxId } = pod;
    const containerId = await startContainer(stack, pod, shellContainer('a', 'exec sleep 1000'));
    await dying(1, () => stack.runtime.stopContainer({ containerId, timeout: 0n }));
    await dying(2, () => stack.runtime.removeContainer({ containerId }));
    await dying(3, () => stack.runtime.stopPodSandbox({ podSandboxId }));
    await dying(4, () => stack.runtime.removePodSandbox({ podSandboxId }));
    await untilToldOfAll(seen);
    assert.deepEqual(seen, ['stop a', 'remove a', 'stop-pod', 'remove-pod']);
  });
}
