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

test('a process dies of SIGKILL at the fault point it was told, and only there', () => {
  const byName = (fault: string): unknown => passes({ GANTRY_FAULT: fault });
  assert.deepEqual(byName('a'), { out: '', signal: 'SIGKILL' });
  assert.deepEqual(byName('b'), { out: 'a', signal: 'SIGKILL' });
  assert.deepEqual(byName('a:3'), { out: 'aba', signal: 'SIGKILL' });
  assert.deepEqual(byName('a:4'), { out: 'abaa', signal: null });
  assert.deepEqual(byName('other'), { out: 'abaa', signal: null });
  assert.deepEqual(byName(''), { out: 'abaa', signal: null });
});

test('a fault point that a file arms kills once, and the file is gone', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-host-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'fault');
  const byFile = (): unknown => passes({ GANTRY_FAULT_FILE: file });
  assert.deepEqual(byFile(), { out: 'abaa', signal: null });
  writeFileSync(file, 'b\n');
  assert.deepEqual(byFile(), { out: 'a', signal: 'SIGKILL' });
  assert.equal(existsSync(file), false);
  assert.deepEqual(byFile(), { out: 'abaa', signal: null });
  writeFileSync(file, 'other');
  assert.deepEqual(byFile(), { out: 'abaa', signal: null });
  assert.equal(existsSync(file), true);
});
