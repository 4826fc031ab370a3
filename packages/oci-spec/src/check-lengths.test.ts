import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containerSpec, pauseSpec, podSysctls } from './index.ts';
import { containerInput, pauseInput, plainSandbox } from './testing.ts';

const longest = `/${'p'.repeat(4094)}`;
const tooLong = `${longest}p`;

test('the longest path that Linux takes is taken', () => {
  assert.equal(containerSpec(containerInput({ workingDir: longest })).process.cwd, longest);
});

for (const [field, config] of Object.entries({
  working_dir: { workingDir: tooLong },
  command: { command: [tooLong] },
  masked_paths: { linux: { securityContext: { maskedPaths: ['/ok', tooLong] } } },
  readonly_paths: { linux: { securityContext: { readonlyPaths: [tooLong] } } },
})) {
  test(`${field} beyond the longest path is refused in few words`, () => {
    assert.throws(() => containerSpec(containerInput(config)), {
      kind: 'invalid-argument',
      message: new RegExp(`^${field}: "/p{99}"... \\(4096 letters\\) is longer than 4095 bytes$`),
    });
  });
}

test('a sysctl is refused that no kernel takes', () => {
  for (const sysctls of [
    { [`net.ipv4.${'s'.repeat(4096)}`]: '1' },
    { 'net.ipv4.ip_forward': '1'.repeat(4096) },
  ]) {
    const refused = { kind: 'invalid-argument', message: /^sysctl.* is longer than 4095 bytes$/ };
    const sandbox = plainSandbox({ linux: { sysctls } });
    assert.throws(() => pauseSpec(pauseInput({ sandbox })), refused);
    // And without a pause container.
    const open = { unprivilegedPorts: true, unprivilegedIcmp: true };
    assert.throws(() => podSysctls(sandbox.config, open), refused);
  }
});
