import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cgroupsPath } from './cgroups-path.ts';

const cases: readonly [parent: string, systemd: boolean, expected: string][] = [
  ['/kubepods/burstable/pod1', false, '/kubepods/burstable/pod1/c1'],
  ['test.slice', false, '/test.slice/c1'],
  ['', false, '/c1'],
  ['/kubepods.slice/kubepods-pod1.slice', true, 'kubepods-pod1.slice:gantry:c1'],
  ['test.slice', true, 'test.slice:gantry:c1'],
  ['/gantry', true, 'gantry.slice:gantry:c1'],
];
for (const [parent, systemd, expected] of cases) {
  test(`under "${parent}" by ${systemd ? 'systemd' : 'cgroupfs'} it is ${expected}`, () => {
    assert.equal(cgroupsPath(parent, 'c1', systemd), expected);
  });
}

test('systemd needs a parent', () => {
  assert.throws(() => cgroupsPath('', 'c1', true), { kind: 'invalid-argument' });
});
