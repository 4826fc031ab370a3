/*
 * What critest's specs of NRI look for beside the order of events (nri.test.ts),
 * and a node on which NRI is disabled.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { definePlugin, type RunningPlugin } from '@gantry/nri';
import { type NriStack, startNriStack, unhurried } from './harness/nri.ts';
import {
  ContainerState,
  podConfig,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { runDir } from './harness/run-dir.ts';
import { startStack } from './harness/stack.ts';

let stack: NriStack;
let plugin: RunningPlugin;
let onStopPod = (_id: string): Promise<void> => Promise.resolve();
let onCreate = (_name: string): void => undefined;

before(async () => {
  stack = await startNriStack(await mkdtemp(join(runDir(), 'nri-')), unhurried);
  plugin = await stack.plug(
    definePlugin({
      name: 'looker',
      index: 0,
      stopPodSandbox: ({ id }) => onStopPod(id),
      createContainer: (_, { name }) => {
        onCreate(name);
        return undefined;
      },
    }),
  );
});
after(async () => {
  await plugin[Symbol.asyncDispose]();
  await stack[Symbol.asyncDispose]();
});

test('a plugin that is told that a pod stops finds its containers exited and its status there', async (t) => {
  const pod = await runPod(stack, podConfig(stack, 'stopping'));
  const { podSandboxId } = pod;
  t.after(() => removePod(stack, podSandboxId));
  await startContainer(stack, pod, shellContainer('one', 'exec sleep 1000'));
  await startContainer(stack, pod, shellContainer('two', 'exec sleep 1000'));
  const seen: (readonly string[])[] = [];
  onStopPod = async (id) => {
    const { containers } = await stack.runtime.listContainers({ filter: { podSandboxId: id } });
    const { status } = await stack.runtime.podSandboxStatus({ podSandboxId: id });
    seen.push([
      ...containers.map(({ state }) =>
        state === ContainerState.CONTAINER_EXITED ? 'exited' : `state ${state}`,
      ),
      status?.metadata?.name ?? 'gone',
    ]);
  };
  await stack.runtime.stopPodSandbox({ podSandboxId });
  await stack.runtime.stopPodSandbox({ podSandboxId });
  assert.deepEqual(seen, [['exited', 'exited', 'stopping']]);
});

test('of a container in a stopped pod no plugin is asked', async (t) => {
  const pod = await runPod(stack, podConfig(stack, 'stopped'));
  t.after(() => removePod(stack, pod.podSandboxId));
  const asked: string[] = [];
  onCreate = (name) => {
    asked.push(name);
  };
  await startContainer(stack, pod, shellContainer('before', 'exec sleep 1000'));
  await stack.runtime.stopPodSandbox({ podSandboxId: pod.podSandboxId });
  await assert.rejects(startContainer(stack, pod, shellContainer('later', 'true')), {
    kind: 'failed-precondition',
  });
  assert.deepEqual(asked, ['before']);
});

test('where NRI is disabled nothing listens, no broker runs, and gantry nri says so', async (t) => {
  const without = await startStack();
  t.after(() => without[Symbol.asyncDispose]());
  const pod = await runPod(without, podConfig(without, 'plain'));
  await startContainer(without, pod, shellContainer('main', 'exec sleep 1000'));
  await removePod(without, pod.podSandboxId);
  const status = await without.gantryOk('status');
  assert.match(status, /sandbox-service/);
  assert.doesNotMatch(status, /nri/);
  const { exitCode, stderr } = await without.gantry('nri', 'plugins');
  assert.notEqual(exitCode, 0);
  assert.match(stderr, /NRI is disabled\. Set enabled = true in \[nri\]/);
  assert.equal(existsSync(join(without.stateDir, 'plugin-updates')), false);
});
