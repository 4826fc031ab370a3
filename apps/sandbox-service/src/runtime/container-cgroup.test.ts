import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { cgroupDirectoryOf, hadOomKill } from './container-cgroup.ts';

test('both forms of cgroupsPath name a directory', () => {
  const table: readonly [path: string, directory: string][] = [
    ['/kubepods/pod1/c1', '/kubepods/pod1/c1'],
    ['kubepods/c1', '/kubepods/c1'],
    [
      'kubepods-burstable-pod1.slice:gantry:c1',
      '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/gantry-c1.scope',
    ],
    ['system.slice:gantry:c1', '/system.slice/gantry-c1.scope'],
    [':gantry:c1', '/system.slice/gantry-c1.scope'],
    ['-.slice:gantry:c1', '/gantry-c1.scope'],
    ['a.slice::c1', '/a.slice/c1.scope'],
  ];
  for (const [path, directory] of table) {
    assert.equal(cgroupDirectoryOf(path), directory);
  }
});

test('an out-of-memory kill is read from v1 and from v2', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'gantry-cgroup-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  await mkdir(join(root, 'memory/v1'), { recursive: true });
  await mkdir(join(root, 'v2'));
  assert.equal(await hadOomKill('/v1', root), false);
  await writeFile(
    join(root, 'memory/v1/memory.oom_control'),
    'oom_kill_disable 0\nunder_oom 0\noom_kill 0\n',
  );
  assert.equal(await hadOomKill('/v1', root), false);
  await writeFile(
    join(root, 'memory/v1/memory.oom_control'),
    'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n',
  );
  assert.equal(await hadOomKill('/v1', root), true);
  await writeFile(join(root, 'v2/memory.events'), 'max 9\noom 1\noom_kill 1\noom_group_kill 0\n');
  assert.equal(await hadOomKill('/v2', root), true);
});
