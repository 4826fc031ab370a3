import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { cgroupDirectory, detectCgroups } from '@gantry/host';
import { readBundleFacts } from './container-cgroup.ts';
import { describeStuck } from './stuck-process.ts';
import { makeRuntimeBed } from './test-bundle.ts';

const layout = await detectCgroups();
const skip =
  cgroupDirectory(layout, 'freezer', '/') === undefined ? 'no freezer of cgroup v1' : false;

test('a container that somebody has frozen is thawed to be killed', { skip }, async (t) => {
  const bed = await makeRuntimeBed(t);
  const launch = await bed.bundle({ args: ['sleep', '1000'] });
  const { init, monitor } = await bed.runtime.create(launch);
  await bed.runtime.start(bed.handler, launch.id);
  const { cgroupPath } = readBundleFacts(launch.bundleDir);
  const directory = cgroupDirectory(layout, 'freezer', cgroupPath ?? assert.fail());
  const file = join(directory ?? assert.fail(), 'freezer.state');
  await writeFile(file, 'FROZEN');
  assert.match(await readFile(file, 'utf8'), /FROZEN|FREEZING/);

  await bed.runtime.killAll(bed.handler, launch.id, init, monitor);

  assert.equal((await bed.runtime.exitOf(launch.id, launch.bundleDir))?.exitCode, 137);
});

async function fakeProcess(t: TestContext, files: Readonly<Record<string, string>>) {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-proc-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await mkdir(join(dir, '7'));
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(dir, '7', name), text);
  }
  return describeStuck(7, dir);
}

test('what keeps a process is told in words', async (t) => {
  const cgroup = '6:freezer:/kubepods/c1\n5:devices:/other\n';
  for (const [files, words] of [
    [
      { stat: '7 (dd (x) y) D 1 7 7', wchan: 'request_wait_answer', cgroup },
      'dd (x) y, hangs in the kernel (state D, at request_wait_answer): a device, a network file system or FUSE does not answer',
    ],
    [
      { stat: '7 (sh) D 1 7 7', wchan: '__refrigerator', cgroup },
      'sh, frozen by the cgroup /kubepods/c1 or one above it',
    ],
    [{ stat: '7 (sh) R 1 7 7', wchan: '0', cgroup }, 'sh, in state R'],
  ] as const) {
    assert.equal(await fakeProcess(t, files), words);
  }
});
