import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { completeConfig } from '@gantry/config';
import { identifyProcess, isRunning, type ProcessId } from '@gantry/host';
import { testDir } from '../testing-dir.ts';
import { announceStart, endStarts, startsUnderWay } from './starts.ts';

/** A process that says of itself that it starts the stack of `stateDir`. */
async function starter(t: TestContext, stateDir: string): Promise<ProcessId> {
  const child = spawn('sleep', ['1000']);
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  const id = await identifyProcess(Number(child.pid));
  assert.ok(id);
  mkdirSync(join(stateDir, 'starting'), { recursive: true });
  writeFileSync(join(stateDir, 'starting', `${id.pid}.json`), JSON.stringify(id));
  return id;
}

test('a start is announced while it lasts, and leaves no directory of its own', async (t) => {
  const stateDir = join(testDir(t), 'run');
  const config = completeConfig({ state_dir: stateDir });
  {
    await using _ = await announceStart(config);
    assert.deepEqual(readdirSync(join(stateDir, 'starting')), [`${process.pid}.json`]);
    assert.deepEqual(await startsUnderWay(config), [], 'not its own');
  }
  assert.equal(existsSync(stateDir), false);
});

test('what a stack has in its directory stays', async (t) => {
  const config = completeConfig({ state_dir: testDir(t) });
  const start = await announceStart(config);
  writeFileSync(join(config.state_dir, 'supervisor.json'), '{}');
  await start[Symbol.asyncDispose]();
  await start[Symbol.asyncDispose]();
  assert.deepEqual(readdirSync(config.state_dir), ['supervisor.json']);
});

test('starts under way are ended; one that died, or is being written down, is none', async (t) => {
  const config = completeConfig({ state_dir: testDir(t) });
  const start = await starter(t, config.state_dir);
  writeFileSync(join(config.state_dir, 'starting/7.json'), '');
  const dead = { pid: start.pid, startTime: '1' };
  writeFileSync(join(config.state_dir, 'starting/8.json'), JSON.stringify(dead));
  assert.deepEqual(await endStarts(config), [start]);
  assert.equal(await isRunning(start), false);
  assert.deepEqual(await endStarts(config), []);
});

test('a state_dir that can not be written keeps nobody from going on to the check that says why', async (t) => {
  const file = join(testDir(t), 'file');
  writeFileSync(file, '');
  const config = completeConfig({ state_dir: join(file, 'run') });
  await using _ = await announceStart(config);
  assert.deepEqual(await startsUnderWay(config), []);
});
