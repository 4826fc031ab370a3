import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { watchExits } from './exit-watcher.ts';
import { watchDirectory } from './watch-directory.ts';

async function makeDir(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-watch-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function until(t: TestContext, check: () => boolean): Promise<void> {
  while (!check()) {
    await delay(1, undefined, { signal: t.signal });
  }
}

/** As glib writes it: under another name, then renamed. */
async function writeExit(dir: string, id: string): Promise<void> {
  await writeFile(join(dir, `${id}.ABC123`), '0');
  await rename(join(dir, `${id}.ABC123`), join(dir, id));
}

test('a directory is seen from the time it appears, and again when it is made anew', async (t) => {
  const dir = join(await makeDir(t), 'a', 'b');
  let seen: string[] = [];
  await using _watch = await watchDirectory(dir, async () => {
    seen = await readdir(dir).catch(() => ['gone']);
  });
  assert.deepEqual(seen, ['gone']);
  for (const round of ['one', 'two', 'three']) {
    await mkdir(dir, { recursive: true });
    await until(t, () => seen.length === 0);
    await writeFile(join(dir, round), '');
    await until(t, () => seen.includes(round));
    await rm(join(dir, '..'), { recursive: true });
    await until(t, () => seen.includes('gone'));
  }
});

test('directories that come and go while the watch is being moved are not lost', async (t) => {
  const base = await makeDir(t);
  await Promise.all(
    Array.from({ length: 10 }, async (_, i) => {
      const parent = join(base, String(i));
      await mkdir(parent);
      const dir = join(parent, 'a', 'b');
      let exists = false;
      await using _watch = await watchDirectory(dir, async () => {
        exists = await readdir(dir).then(
          () => true,
          () => false,
        );
      });
      for (let round = 0; round < 50; round += 1) {
        await mkdir(dir, { recursive: true });
        await until(t, () => exists);
        await writeFile(join(dir, 'file'), '');
        await rm(join(parent, 'a'), { recursive: true });
        await until(t, () => !exists);
      }
    }),
  );
});

test('scans do not overlap, and the last one sees the last change', async (t) => {
  const dir = await makeDir(t);
  let running = 0;
  let count = 0;
  await using _watch = await watchDirectory(dir, async () => {
    running += 1;
    assert.equal(running, 1);
    await delay(10);
    count = (await readdir(dir)).length;
    running -= 1;
  });
  for (let i = 0; i < 300; i += 1) {
    await writeFile(join(dir, String(i)), '');
  }
  await until(t, () => count === 300);
});

test('a change during the first scan waits for one of its own', async (t) => {
  const dir = await makeDir(t);
  let running = 0;
  let most = 0;
  const seen: number[] = [];
  await using _watch = await watchDirectory(dir, async () => {
    running += 1;
    most = Math.max(most, running);
    const first = seen.push((await readdir(dir)).length) === 1;
    if (first) {
      await writeFile(join(dir, 'x'), '');
      // Time for the event.
      await delay(50);
    }
    running -= 1;
  });
  await until(t, () => seen.at(-1) === 1);
  assert.equal(most, 1);
});

test('a scan that fails is tried again', async (t) => {
  const dir = await makeDir(t);
  let failures = 3;
  let scans = 0;
  await using _watch = await watchDirectory(
    dir,
    async () => {
      scans += 1;
      if (scans > 1 && failures > 0) {
        failures -= 1;
        throw new Error('not now');
      }
    },
    { retryMs: 5 },
  );
  await writeFile(join(dir, 'x'), '');
  await until(t, () => failures === 0 && scans >= 5);
});

test('nothing is scanned after disposal', async (t) => {
  const dir = await makeDir(t);
  let scans = 0;
  const watch = await watchDirectory(dir, async () => {
    scans += 1;
  });
  await writeFile(join(dir, 'x'), '');
  await watch[Symbol.asyncDispose]();
  const before = scans;
  await writeFile(join(dir, 'y'), '');
  await delay(50);
  assert.equal(scans, before);
});

test('each exit is told once, earlier ones at once, and the directory is kept there', async (t) => {
  const dir = join(await makeDir(t), 'exits');
  await mkdir(dir);
  await writeExit(dir, 'early');
  const exits: string[] = [];
  await using _watch = await watchExits(dir, (id) => exits.push(id));
  assert.deepEqual(exits, ['early']);

  const ids = Array.from({ length: 200 }, (_, i) => `c${i}`);
  await Promise.all(ids.map((id) => writeExit(dir, id)));
  await until(t, () => exits.length === 201);
  assert.deepEqual(new Set(exits), new Set(['early', ...ids]));

  await rm(dir, { recursive: true });
  const late = async (): Promise<boolean> =>
    writeExit(dir, 'late').then(
      () => true,
      () => false,
    );
  while (!(await late())) {
    await delay(5, undefined, { signal: t.signal });
  }
  await until(t, () => exits.includes('late'));
  assert.equal(exits.length, 202);
});
