import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { isKind } from '@gantry/errors';
import { mountTmpfs, unmount } from '@gantry/host';
import { hostOf, leaks } from './harness/host.ts';
import {
  type ContainerConfig,
  ContainerState,
  podConfig,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

test('a full disk keeps no pod from being stopped and removed, as a kubelet retries it', async () => {
  const stack = await startStack({ rootDirTmpfsBytes: 64 << 20 });
  try {
    const clean = await hostOf(stack);
    const pod = await runPod(stack, podConfig(stack, 'full'));
    await startContainer(stack, pod, shellContainer('c', 'exec sleep 1000'));
    await fill(stack.rootDir);

    await assert.rejects(stack.runtime.runPodSandbox({ config: podConfig(stack, 'second') }), {
      kind: 'resource-exhausted',
      message: /no space left on device/,
    });
    await again(() => stack.runtime.stopPodSandbox(pod));
    await again(() => stack.runtime.removePodSandbox(pod));
    assert.deepEqual(leaks(clean, await hostOf(stack)), []);

    await rm(join(stack.rootDir, 'filler-1048576-0'));
    const next = await runPod(stack, podConfig(stack, 'third'));
    await stack.runtime.stopPodSandbox(next);
    await stack.runtime.removePodSandbox(next);
    const { items } = await stack.runtime.listPodSandbox({});
    assert.deepEqual(items, []);
  } finally {
    await stack[Symbol.asyncDispose]();
  }
});

test('a full state_dir refuses what is new, keeps what runs, and lets all of it go', async () => {
  const stack = await startStack();
  const bundles = join(stack.stateDir, 'containers');
  try {
    const clean = await hostOf(stack);
    // Where bundles are made, and config.json is written.
    await mountTmpfs({ target: bundles, sizeBytes: 64 << 10, mode: 0o711 });
    const held = await runPod(stack, podConfig(stack, 'held'));
    const running = await startContainer(stack, held, shellContainer('c', 'exec sleep 1000'));
    const signs = join(stack.dir, 'signs');
    const waiter = shellContainer(
      'w',
      'until [ -e /signs/go ]; do busybox usleep 10000; done; exit 3',
      {
        mounts: [{ hostPath: signs, containerPath: '/signs' }] as ContainerConfig['mounts'],
      } as Partial<ContainerConfig>,
    );
    const waiting = await startContainer(stack, held, waiter);
    await fill(bundles);
    for (const name of ['second', 'third']) {
      await assert.rejects(stack.runtime.runPodSandbox({ config: podConfig(stack, name) }), {
        kind: 'resource-exhausted',
        message: /no space left on device/i,
      });
    }
    await assert.rejects(
      stack.runtime.createContainer({ ...held, config: shellContainer('d', 'true') }),
      { kind: 'resource-exhausted' },
    );
    const { items } = await stack.runtime.listPodSandbox({});
    assert.deepEqual(
      items.map(({ id }) => id),
      [held.podSandboxId],
    );
    // How they end is written down where others' files take no room.
    await stack.runtime.stopContainer({ containerId: running, timeout: 0n });
    await writeFile(join(signs, 'go'), '');
    for (const [containerId, exitCode] of [
      [running, 137],
      [waiting, 3],
    ] as const) {
      const status = await until(
        'its end',
        async () => (await stack.runtime.containerStatus({ containerId })).status,
        (now) => now?.state === ContainerState.CONTAINER_EXITED,
      );
      assert.deepEqual([status?.exitCode, status?.reason], [exitCode, 'Error']);
    }
    await removePod(stack, held.podSandboxId);
    await unmount(bundles);
    const next = await runPod(stack, podConfig(stack, 'next'));
    await removePod(stack, next.podSandboxId);
    assert.deepEqual(leaks(clean, await hostOf(stack)), []);
  } finally {
    await stack[Symbol.asyncDispose]();
    await unmount(bundles, { detach: true });
  }
});

/** Each store that meets the full disk first gives up its reserve: a few tries suffice, never a wait. */
async function again(call: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await call();
      return;
    } catch (error) {
      if (tries === 5 || !isKind(error, 'resource-exhausted')) {
        throw error;
      }
    }
  }
}

async function fill(dir: string): Promise<void> {
  for (const size of [1 << 20, 1 << 12]) {
    for (let i = 0; ; i++) {
      try {
        await writeFile(join(dir, `filler-${size}-${i}`), new Uint8Array(size));
      } catch {
        break;
      }
    }
  }
}
