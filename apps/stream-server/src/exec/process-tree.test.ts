import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { identifyProcess, isRunning, type ProcessId, waitForExit } from '@gantry/host';
import { killDescendants, killFamily } from './process-tree.ts';

/** A shell that waits for a shell that waits for two sleeps. Tells all four. */
async function family(t: TestContext): Promise<ProcessId[]> {
  const inner = 'sleep 100 & echo $!; sleep 100 & echo $!; echo $$; wait';
  const child = spawn('sh', ['-c', `sh -c '${inner}' & wait`], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  t.after(() => {
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL');
    } catch {
      // All gone.
    }
  });
  const pids = [child.pid ?? 0];
  for await (const line of createInterface(child.stdout)) {
    pids.push(Number(line));
    if (pids.length === 4) {
      break;
    }
  }
  return Promise.all(
    pids.map(async (pid) => {
      const process = await identifyProcess(pid);
      assert.ok(process);
      return process;
    }),
  );
}

const running = async (processes: readonly ProcessId[]): Promise<boolean[]> =>
  Promise.all(processes.map(isRunning));

test('descendants of every degree die and the root lives to reap them', async (t) => {
  const [root, ...others] = await family(t);
  assert.ok(root);
  assert.deepEqual(await running(others), [true, true, true]);
  await killDescendants(root.pid);
  await Promise.all(others.map((process) => waitForExit(process)));
  assert.deepEqual(await running(others), [false, false, false]);
});

test('a family dies as a whole', async (t) => {
  const all = await family(t);
  const [root] = all;
  assert.ok(root);
  await killFamily(root);
  await Promise.all(all.map((process) => waitForExit(process)));
  assert.deepEqual(await running(all), [false, false, false, false]);
});

test('a process without children, and one that is gone, are no trouble', async () => {
  const child = spawn('true');
  const pid = child.pid ?? 0;
  await once(child, 'exit');
  await killDescendants(pid);
  await killFamily({ pid, startTime: '1' });
});
