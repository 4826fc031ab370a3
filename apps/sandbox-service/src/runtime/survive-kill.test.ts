import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isRunning } from '@gantry/host';
import type { ContainerLaunch, ProcessId } from '../ports.ts';
import { openConmonRuntime } from './conmon-runtime.ts';
import { assertNothingLeft, makeRuntimeBed, type RuntimeBed } from './test-bundle.ts';

interface Service {
  readonly child: ChildProcess;
  nextLine(): Promise<string>;
}

/** Starts a process, in a group of its own, that creates the container and stays. */
function startService(bed: RuntimeBed, launch: ContainerLaunch, step = ''): Service {
  const script = fileURLToPath(new URL('create-and-stay.ts', import.meta.url));
  const args = [script, bed.stateDir, JSON.stringify(launch), step];
  const child = spawn(process.execPath, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, nextLine: async () => String((await lines.next()).value) };
}

/** SIGKILL for the process and its whole group. */
async function killGroup({ child }: Service): Promise<void> {
  const exited = once(child, 'exit');
  process.kill(-(child.pid ?? assert.fail()), 'SIGKILL');
  await exited;
}

async function logged(launch: ContainerLaunch): Promise<string[]> {
  const text = await readFile(launch.logPath ?? assert.fail(), 'utf8').catch(() => '');
  return [...text.matchAll(/stdout F line (\d+)$/gm)].map(([, number]) => String(number));
}

async function untilLogged(t: TestContext, launch: ContainerLaunch, count: number): Promise<void> {
  while ((await logged(launch)).length < count) {
    await delay(5, undefined, { signal: t.signal });
  }
}

test('a container outlives the kill of its service, and a new one sees log and exit whole', async (t) => {
  const bed = await makeRuntimeBed(t);
  const script =
    'i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; busybox usleep 2000; done; exit 5';
  const launch = await bed.bundle({ args: ['sh', '-c', script] });
  const service = startService(bed, launch, 'start');
  assert.equal(await service.nextLine(), 'creating');
  const { init, monitor } = JSON.parse(await service.nextLine()) as Record<string, ProcessId>;
  await untilLogged(t, launch, 10);

  await killGroup(service);

  assert.equal(await isRunning(init ?? assert.fail()), true);
  assert.equal(await isRunning(monitor ?? assert.fail()), true);
  const runtime = await openConmonRuntime({ stateDir: bed.stateDir, conmon: 'conmon' });
  assert.deepEqual(await runtime.list(bed.handler), [launch.id]);
  const exited = Promise.withResolvers<string>();
  await using _watch = await runtime.watchExits(exited.resolve);
  assert.equal(await exited.promise, launch.id);
  assert.equal((await runtime.exitOf(launch.id, launch.bundleDir))?.exitCode, 5);
  const all = Array.from({ length: 300 }, (_, i) => String(i + 1));
  assert.deepEqual(await logged(launch), all);
});

test('an exit that happens while no service runs is told to the next', async (t) => {
  const bed = await makeRuntimeBed(t);
  const launch = await bed.bundle({ args: ['sh', '-c', 'busybox usleep 200000; exit 9'] });
  const service = startService(bed, launch, 'start');
  await service.nextLine();
  const { monitor } = JSON.parse(await service.nextLine()) as Record<string, ProcessId>;
  await killGroup(service);
  while (await isRunning(monitor ?? assert.fail())) {
    await delay(5, undefined, { signal: t.signal });
  }
  const exits: string[] = [];
  await using _watch = await bed.runtime.watchExits((id) => exits.push(id));
  assert.deepEqual(exits, [launch.id]);
  assert.equal((await bed.runtime.exitOf(launch.id, launch.bundleDir))?.exitCode, 9);
});

test('a service killed at any moment of create leaves what the next can remove by the id', async (t) => {
  const bed = await makeRuntimeBed(t);
  for (const afterMs of [0, 4, 8, 12, 16, 24, 32, 48, 64]) {
    const launch = await bed.bundle({ args: ['sleep', '1000'] });
    const service = startService(bed, launch);
    assert.equal(await service.nextLine(), 'creating');
    await delay(afterMs);
    await killGroup(service);
    // At once: the runtime may be in the middle of its work.
    await bed.runtime.killAll(bed.handler, launch.id);
    await bed.runtime.delete(bed.handler, launch.id);
    await assertNothingLeft(bed, launch);
  }
});
