import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { lockFile, tryLockFile } from './index.ts';

const module = new URL('./index.ts', import.meta.url).href;

function lockPath(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-host-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, 'lock');
}

function runScript(t: TestContext, body: string): ChildProcess {
  const script = `import { lockFile } from ${JSON.stringify(module)};\n${body}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

test('one holder at a time, in order, within a process', async (t) => {
  const path = lockPath(t);
  const order: string[] = [];
  const first = await lockFile(path);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const waiting = ['b', 'c'].map(async (name) => {
    await using _held = await lockFile(path);
    order.push(`${name} in`);
    await new Promise((go) => setImmediate(go));
    order.push(`${name} out`);
  });
  assert.equal(tryLockFile(path), undefined);
  order.push('a out');
  await first[Symbol.asyncDispose]();
  await Promise.all(waiting);
  assert.deepEqual(order, ['a out', 'b in', 'b out', 'c in', 'c out']);
  const again = tryLockFile(path);
  assert.ok(again);
  await again[Symbol.asyncDispose]();
});

test('a waiter that gives up gets the reason, and the next one its turn', async (t) => {
  const path = lockPath(t);
  const held = await lockFile(path);
  const controller = new AbortController();
  const reason = new Error('gone');
  const given = lockFile(path, { signal: controller.signal });
  const next = lockFile(path);
  controller.abort(reason);
  await assert.rejects(given, (e) => e === reason);
  await held[Symbol.asyncDispose]();
  await using _next = await next;
  await assert.rejects(lockFile(path, { signal: controller.signal }), (e) => e === reason);
});

test('another process waits, can be given up on, and its death frees the lock', async (t) => {
  const path = lockPath(t);
  const child = runScript(
    t,
    `await lockFile(${JSON.stringify(path)}); console.log('held'); setInterval(() => {}, 1000);`,
  );
  assert.ok(child.stdout);
  await once(child.stdout, 'data');
  assert.equal(tryLockFile(path), undefined);
  await assert.rejects(lockFile(path, { signal: AbortSignal.timeout(60) }), {
    name: 'TimeoutError',
  });
  const waiting = lockFile(path, { signal: AbortSignal.timeout(10_000) });
  child.kill('SIGKILL');
  await using _held = await waiting;
});

test('a lock file that its holders unlink still lets one in at a time', async (t) => {
  const path = lockPath(t);
  const counter = `${path}.counter`;
  const body = `
    import { readFileSync, writeFileSync } from 'node:fs';
    for (let i = 0; i < 100; i += 1) {
      await using held = await lockFile(${JSON.stringify(path)}, { remove: true });
      let n = 0;
      try { n = Number(readFileSync(${JSON.stringify(counter)}, 'utf8')); } catch {}
      await new Promise((go) => setImmediate(go));
      writeFileSync(${JSON.stringify(counter)}, String(n + 1));
    }
  `;
  const children = [1, 2, 3].map(() => runScript(t, body));
  for (const exit of children.map((child) => once(child, 'exit'))) {
    assert.deepEqual(await exit, [0, null]);
  }

  assert.equal(readFileSync(counter, 'utf8'), '300');
  assert.equal(existsSync(path), false);
});
