import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const module = new URL('./fault-point.ts', import.meta.url).href;

test('a process dies of SIGKILL at the fault point that is armed, once, and only there', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-host-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'fault');
  const passes = (): { out: string; signal: NodeJS.Signals | null } => {
    const script = `
      import { writeSync } from 'node:fs';
      import { faultPoint } from ${JSON.stringify(module)};
      for (const name of ['a', 'b']) { faultPoint(name); writeSync(1, name); }
    `;
    const { stdout, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, GANTRY_FAULT_FILE: file },
      encoding: 'utf8',
    });
    return { out: stdout, signal };
  };
  assert.deepEqual(passes(), { out: 'ab', signal: null });
  writeFileSync(file, 'b\n');
  assert.deepEqual(passes(), { out: 'a', signal: 'SIGKILL' });
  assert.equal(existsSync(file), false);
  assert.deepEqual(passes(), { out: 'ab', signal: null });
  writeFileSync(file, 'other');
  assert.deepEqual(passes(), { out: 'ab', signal: null });
});
