import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { mountInfo, unmount } from '@gantry/host';
import { ExitDirectory } from './exit-directory.ts';
import { watchExits } from './exit-watcher.ts';
import { makeRuntimeBed } from './test-bundle.ts';

const ownBytes = 1 << 20;

async function makePath(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-exits-'));
  t.after(async () => {
    await unmount(join(dir, 'exits'), { detach: true });
    await rm(dir, { recursive: true, force: true });
  });
  return join(dir, 'exits');
}

const mountsAt = async (path: string) =>
  (await mountInfo()).filter(({ mountPoint }) => mountPoint === path).length;

async function until(t: TestContext, check: () => boolean): Promise<void> {
  while (!check()) {
    await delay(1, undefined, { signal: t.signal });
  }
}

test('a container that ends when the state directory is full keeps its exit code', async (t) => {
  const bed = await makeRuntimeBed(t, { stateBytes: 256 << 10, exitBytes: ownBytes });
  const launch = await bed.bundle({
    args: ['sh', '-c', 'trap "exit 7" USR1; echo up; while :; do busybox usleep 10000; done'],
  });
  const { init } = await bed.runtime.create(launch);
  await bed.runtime.start(bed.handler, launch.id);
  while (!(await readFile(launch.logPath, 'utf8')).includes('up')) {
    await delay(2, undefined, { signal: t.signal });
  }
  const filler = join(bed.stateDir, 'filler');
  await assert.rejects(writeFile(filler, new Uint8Array(1 << 20)), { code: 'ENOSPC' });
  const exits: string[] = [];
  await using _watch = await bed.runtime.watchExits((id) => exits.push(id));

  await bed.runtime.signal(init, 10);

  await until(t, () => exits.length > 0);
  assert.equal((await bed.runtime.exitOf(launch.id, launch.bundleDir))?.exitCode, 7);
});

test('records in the plain directory move over with their times, and whoever watches goes along', async (t) => {
  const path = await makePath(t);
  await mkdir(path);
  await writeFile(join(path, 'early'), '3');
  await utimes(join(path, 'early'), 1_700_000_000.25, 1_700_000_000.25);
  const exits: string[] = [];
  await using _watch = await watchExits(path, (id) => exits.push(id));

  const directory = new ExitDirectory(path, { ownBytes });
  await Promise.all([directory.ensure(), new ExitDirectory(path, { ownBytes }).ensure()]);

  assert.equal(await mountsAt(path), 1);
  assert.equal(await readFile(join(path, 'early'), 'utf8'), '3');
  assert.equal((await stat(join(path, 'early'))).mtimeMs, 1_700_000_000_250);
  await writeFile(join(path, 'late'), '4');
  await until(t, () => exits.includes('late'));
  assert.deepEqual(exits, ['early', 'late']);
});

test('it goes when no record lies in it, and comes again when it is needed', async (t) => {
  const path = await makePath(t);
  const directory = new ExitDirectory(path, { ownBytes });
  await directory.ensure();
  const exits: string[] = [];
  await using _watch = await watchExits(path, (id) => exits.push(id));
  await writeFile(join(path, 'one'), '0');
  await directory.release();
  assert.equal(await mountsAt(path), 1);

  await rm(join(path, 'one'));
  await directory.release();
  assert.equal(await mountsAt(path), 0);
  assert.deepEqual(await readdir(path), []);

  await directory.ensure();
  assert.equal(await mountsAt(path), 1);
  await writeFile(join(path, 'two'), '0');
  await until(t, () => exits.includes('two'));
});
