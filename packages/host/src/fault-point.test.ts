import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const module = new URL('./fault-point.ts', import.meta.url).href;

function passes(fault: string): { out: string; signal: NodeJS.Signals | null } {
  const script = `
    import { writeSync } from 'node:fs';
    import { faultPoint } from ${JSON.stringify(module)};
    for (const name of ['a', 'b', 'a', 'a']) { faultPoint(name); writeSync(1, name); }
  `;
  const { stdout, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, GANTRY_FAULT: fault },
    encoding: 'utf8',
  });
  return { out: stdout, signal };
}

test('a process dies of SIGKILL at the fault point it was told, and only there', () => {
  assert.deepEqual(passes('a'), { out: '', signal: 'SIGKILL' });
  assert.deepEqual(passes('b'), { out: 'a', signal: 'SIGKILL' });
  assert.deepEqual(passes('a:3'), { out: 'aba', signal: 'SIGKILL' });
  assert.deepEqual(passes('a:4'), { out: 'abaa', signal: null });
  assert.deepEqual(passes('other'), { out: 'abaa', signal: null });
  assert.deepEqual(passes(''), { out: 'abaa', signal: null });
});
