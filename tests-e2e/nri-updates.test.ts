import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { type DefinedPlugin, definePlugin, type RunningPlugin } from '@gantry/nri';
import { type NriStack, startNriStack, unhurried } from './harness/nri.ts';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { runDir } from './harness/run-dir.ts';
import { killServices } from './harness/services.ts';
import { until } from './harness/until.ts';

let stack: NriStack;

before(async () => {
  stack = await startNriStack(await mkdtemp(join(runDir(), 'nri-')), unhurried);
});
after(async () => {
  await stack[Symbol.asyncDispose]();
});

async function plug(t: TestContext, plugin: DefinedPlugin): Promise<RunningPlugin> {
  const running = await stack.plug(plugin);
  t.after(async () => {
    await running[Symbol.asyncDispose]();
    const name = `${plugin.index}-${plugin.name}`;
    await until('plugin gone', stack.pluginNames, (names) => !names.includes(name));
  });
  return running;
}

const sh = async (containerId: string, script: string): Promise<string> => {
  const cmd = ['/bin/sh', '-c', script];
  const { stdout, stderr } = await stack.runtime.execSync({ containerId, cmd, timeout: 10n });
  return Buffer.from(stdout).toString() + Buffer.from(stderr).toString();
};

test('a plugin changes a container that runs, unasked and as part of another one', async (t) => {
  let target = '';
  const plugin = await plug(
    t,
    definePlugin({
      name: 'shrinker',
      index: 70,
      createContainer: (_, { name }) =>
        name === 'newcomer'
          ? { updates: [{ containerId: target, limits: { memoryBytes: 40 << 20 } }] }
          : undefined,
      updateContainer: (_, { name }) =>
        name === 'old' ? { limits: { cpuShares: 512 } } : undefined,
    }),
  );
  const pod = await runPod(stack, podConfig(stack, 'updates'));
  t.after(() => removePod(stack, pod.podSandboxId));
  target = await startContainer(stack, pod, shellContainer('old', 'exec sleep 1000'));
  const limitsOf = async (containerId: string) => {
    const { status } = await stack.runtime.containerStatus({ containerId });
    return status?.resources?.linux;
  };
  await startContainer(stack, pod, shellContainer('newcomer', 'exec sleep 1000'));
  assert.equal((await limitsOf(target))?.memoryLimitInBytes, BigInt(40 << 20));

  await stack.runtime.updateContainerResources({
    containerId: target,
    linux: { cpuShares: 100n, memoryLimitInBytes: BigInt(44 << 20) },
  });
  const asked = await limitsOf(target);
  assert.deepEqual([asked?.cpuShares, asked?.memoryLimitInBytes], [512n, BigInt(44 << 20)]);

  const failed = await plugin.update([
    { containerId: target, limits: { memoryBytes: 50 << 20 } },
    { containerId: 'f'.repeat(64), limits: { cpuShares: 2 } },
    { containerId: 'e'.repeat(64), limits: { cpuShares: 2 }, ignoreFailure: true },
  ]);
  assert.deepEqual(
    failed.map(({ containerId }) => containerId),
    ['f'.repeat(64)],
  );
  assert.equal((await limitsOf(target))?.memoryLimitInBytes, BigInt(50 << 20));

  await plugin.update([], [{ containerId: target, reason: 'test' }]);
  const { status } = await stack.runtime.containerStatus({ containerId: target });
  assert.equal(status?.exitCode, 137);
});

test('killed services tell a plugin of each stop and removal once', async (t) => {
  const seen: string[] = [];
  const synced: string[][] = [];
  const isMine = (pod: { name: string }) => pod.name === 'crash';
  await plug(
    t,
    definePlugin({
      name: 'bookkeeper',
      index: 80,
      synchronize: (_, containers) => {
        synced.push(containers.map(({ name }) => name).sort());
      },
      stopPodSandbox: (pod) => {
        if (isMine(pod)) {
          seen.push('stop-pod');
        }
      },
      removePodSandbox: (pod) => {
        if (isMine(pod)) {
          seen.push('remove-pod');
        }
      },
      stopContainer: (pod, { name }) => {
        if (isMine(pod)) {
          seen.push(`stop ${name}`);
        }
        return undefined;
      },
      removeContainer: (pod, { name }) => {
        if (isMine(pod)) {
          seen.push(`remove ${name}`);
        }
      },
    }),
  );
  const pod = await runPod(stack, podConfig(stack, 'crash'));
  const told = await startContainer(stack, pod, shellContainer('told', 'exec sleep 1000'));
  const away = await startContainer(
    stack,
    pod,
    shellContainer('away', 'until [ -e /dev/shm/end ]; do sleep 0.05; done; exit 4'),
  );
  await startContainer(stack, pod, shellContainer('stays', 'exec sleep 1000'));
  await stack.runtime.stopContainer({ containerId: told, timeout: 0n });
  assert.deepEqual(seen, ['stop told']);

  await sh(away, 'echo > /dev/shm/end; sleep 0.2');
  killServices(stack, 'nri-broker', 'sandbox-service');
  await stack.untilPlugged('80-bookkeeper');
  await until(
    'exit',
    () => stack.runtime.containerStatus({ containerId: away }),
    ({ status }) => status?.exitCode === 4,
  );
  await until(
    'told',
    () => Promise.resolve(seen),
    (now) => now.includes('stop away'),
  );
  assert.deepEqual(synced.at(-1), ['stays']);
  killServices(stack, 'nri-broker');
  await stack.untilPlugged('80-bookkeeper');
  await stack.runtime.removeContainer({ containerId: told });
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(seen.toSorted(), [
    'remove away',
    'remove stays',
    'remove told',
    'remove-pod',
    'stop away',
    'stop stays',
    'stop told',
    'stop-pod',
  ]);
});
