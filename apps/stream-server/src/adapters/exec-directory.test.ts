import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { identifyProcess, isRunning, type ProcessId, waitForExit } from '@gantry/host';
import { createLogger } from '@gantry/telemetry';
import { ExecDirectory } from './exec-directory.ts';

const log = createLogger({ service: 'stream', instance: 'test', level: 'error' });

function stateDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-execdir-'));
  t.after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}

/** A process that sleeps, perhaps under arguments of our choice. */
async function sleeper(t: TestContext, args: readonly string[] = []): Promise<ProcessId> {
  const child = spawn('sh', ['-c', 'sleep 100 & wait', ...args], {
    stdio: 'ignore',
    detached: true,
  });
  t.after(() => {
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL');
    } catch {
      // It was the test's to kill it.
    }
  });
  await once(child, 'spawn');
  const identity = await identifyProcess(child.pid ?? 0);
  assert.ok(identity);
  return identity;
}

test('an instance has a directory for itself and leaves none', async (t) => {
  const dir = stateDir(t);
  {
    await using directory = await ExecDirectory.open(dir, 'a', log);
    const [first, second] = [directory.next(), directory.next()];
    assert.equal(
      new Set<string>([first, second].flatMap((files) => Object.values<string>({ ...files }))).size,
      6,
    );
    assert.equal(statSync(join(dir, 'exec', 'a')).mode & 0o777, 0o700);
  }
  assert.deepEqual(readdirSync(join(dir, 'exec')), []);
});

test('what a living instance has is left alone', async (t) => {
  const dir = stateDir(t);
  await using first = await ExecDirectory.open(dir, 'a', log);
  writeFileSync(first.next().process, '{}');
  await using second = await ExecDirectory.open(dir, 'b', log);
  assert.ok(second);
  assert.deepEqual(readdirSync(join(dir, 'exec', 'a')), ['1.json']);
});

test('files, locks and runtime processes of a dead instance are cleared away', async (t) => {
  const dir = stateDir(t);
  const dead = join(dir, 'exec', 'dead');
  mkdirSync(dead, { recursive: true });
  writeFileSync(join(dead, '1.json'), '{}');
  writeFileSync(join(dir, 'exec', 'early.lock'), '');
  const helper = await sleeper(t, ['exec', '--process', join(dead, '1.json')]);
  const bystander = await sleeper(t, ['exec', '--process', join(dir, 'exec', 'deader', '1.json')]);
  const reader = await sleeper(t, [join(dead, '1.json')]);
  {
    await using directory = await ExecDirectory.open(dir, 'new', log);
    assert.ok(directory);
    await waitForExit(helper);
    assert.equal(await isRunning(bystander), true);
    assert.equal(await isRunning(reader), true);
    assert.equal(existsSync(dead), false);
    assert.deepEqual(readdirSync(join(dir, 'exec')).sort(), ['new', 'new.lock']);
  }
});

test('the process of a pid file is killed when its time fits, and only then', async (t) => {
  const dir = stateDir(t);
  const dead = join(dir, 'exec', 'dead');
  mkdirSync(dead, { recursive: true });
  const write = (n: number, pid: number): void => {
    writeFileSync(join(dead, `${n}.json`), '{}');
    writeFileSync(join(dead, `${n}.pid`), String(pid));
  };
  const ours = await sleeper(t);
  write(1, ours.pid);
  const later = await sleeper(t);
  write(2, later.pid);
  // As if the pid had been written down an hour before this process took it over.
  const anHourAgo = new Date(Date.now() - 3_600_000);
  utimesSync(join(dead, '2.json'), anHourAgo, anHourAgo);
  utimesSync(join(dead, '2.pid'), anHourAgo, anHourAgo);
  const earlier = await sleeper(t);
  write(3, earlier.pid);
  const inAnHour = new Date(Date.now() + 3_600_000);
  utimesSync(join(dead, '3.json'), inAnHour, inAnHour);
  utimesSync(join(dead, '3.pid'), inAnHour, inAnHour);
  write(4, 1);
  writeFileSync(join(dead, '5.pid'), 'nonsense');

  await using directory = await ExecDirectory.open(dir, 'new', log);
  assert.ok(directory);
  await waitForExit(ours);
  assert.equal(await isRunning(later), true);
  assert.equal(await isRunning(earlier), true);
});
