import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cgroupDirectoryOf } from './container-cgroup.ts';

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
