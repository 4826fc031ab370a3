import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const module = new URL('./fault-point.ts', import.meta.url).href;

function passes(env: NodeJS.ProcessEnv): { out: string; signal: NodeJS.Signals | null } {
  const script = `
    import { writeSync } from 'node:fs';
    import { faultPoint } from ${JSON.stringify(module)};
    for (const name of ['a', 'b', 'a', 'a']) { faultPoint(name); writeSync(1, name); }
  `;
  const { stdout, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  return { out: stdout, signal };
}

test('a process dies of SIGKILL at the fault point that the file names, once', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-host-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'fault');
  const passesArmed = (): unknown => passes({ GANTRY_FAULT_FILE: file });
  const unharmed = { out: 'abaa', signal: null };
  assert.deepEqual(passesArmed(), unharmed);
  const deaths: readonly [armed: string, out: string][] = [
    ['a', ''],
    ['b\n', 'a'],
    ['a:3', 'aba'],
  ];
  for (const [armed, out] of deaths) {
    writeFileSync(file, armed);
    assert.deepEqual(passesArmed(), { out, signal: 'SIGKILL' }, armed);
    assert.equal(existsSync(file), false);
    assert.deepEqual(passesArmed(), unharmed);
  }
  for (const other of ['other', 'a:4', '']) {
    writeFileSync(file, other);
    assert.deepEqual(passesArmed(), unharmed, other);
    assert.equal(existsSync(file), true);
  }
});

test('without the variable nothing is armed', () => {
  assert.deepEqual(passes({ GANTRY_FAULT_FILE: '' }), { out: 'abaa', signal: null });
});
