import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isKind, messageOf } from '@gantry/errors';
import { findTool, run, toolPackage } from './index.ts';
import { benchTools, missingPackages, testTools, vmTools } from './test-tools.ts';

function tempDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-host-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function isGone(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${String(pid)}/status`, 'utf8'));
  } catch {
    return true;
  }
}

async function eventually(check: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 60_000; !check(); ) {
    assert.ok(Date.now() < end, what);
    await new Promise((go) => setTimeout(go, 5));
  }
}

/** The process that wrote `pidFile` before its time was up. A busy host gives it more than one try. */
async function timedOut(
  pidFile: string,
  start: (timeoutMs: number) => Promise<unknown>,
): Promise<number> {
  for (let timeoutMs = 300; ; timeoutMs *= 2) {
    await assert.rejects(start(timeoutMs), (e) => isKind(e, 'deadline-exceeded'));
    const text = existsSync(pidFile) ? readFileSync(pidFile, 'utf8') : '';
    if (text !== '') {
      return Number(text);
    }
    assert.ok(timeoutMs < 30_000, 'it never came to write its pid');
  }
}

test('both outputs, the exit code and stdin pass', async () => {
  const result = await run('sh', ['-c', 'cat; echo err >&2; exit 3'], { stdin: 'in' });
  assert.equal(result.exitCode, 3);
  assert.equal(result.signal, null);
  assert.equal(result.stdout.toString(), 'in');
  assert.equal(result.stderr.toString(), 'err\n');
  assert.equal(result.truncated, false);
});

test('a command that a signal ended tells which', async () => {
  const result = await run('sh', ['-c', 'kill -TERM $$']);
  assert.deepEqual([result.exitCode, result.signal], [null, 'SIGTERM']);
});

test('output above the cap is dropped and the command still ends', async () => {
  const result = await run('sh', ['-c', 'head -c 3000000 /dev/zero'], { maxOutputBytes: 1000 });
  assert.equal(result.exitCode, 0);
  assert.equal(result.stdout.length, 1000);
  assert.equal(result.truncated, true);
});

test('a command that does not read its stdin is no error', async () => {
  const result = await run('true', [], { stdin: Buffer.alloc(4_000_000) });
  assert.equal(result.exitCode, 0);
});

test('a missing tool is told with its Debian package', async () => {
  await assert.rejects(
    run('/nowhere/runc', []),
    (e) =>
      isKind(e, 'failed-precondition') &&
      messageOf(e).startsWith('/nowhere/runc is missing: install Debian package runc'),
  );
  await assert.rejects(run('no-such-tool-at-all', []), /no-such-tool-at-all is missing/);
});

test('a file that can not be run is not taken for a missing tool', async (t) => {
  const path = join(tempDir(t), 'runc');
  writeFileSync(path, '');
  await assert.rejects(run(path, []), (e) => /^start .*EACCES/.test(messageOf(e)));
});

test('a missing working directory is not taken for a missing tool', async () => {
  await assert.rejects(
    run('true', [], { cwd: '/nowhere' }),
    /start \/\S+\/true in \/nowhere: no such file/,
  );
});

test('an abort kills the command and rejects with its reason', async () => {
  const controller = new AbortController();
  const reason = new Error('enough');
  const running = run('sleep', ['60'], { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(running, (e) => e === reason);
  await assert.rejects(run('true', [], { signal: controller.signal }), (e) => e === reason);
});

test('a timeout is deadline-exceeded and leaves no process', async (t) => {
  const pidFile = join(tempDir(t), 'pid');
  const pid = await timedOut(pidFile, (timeoutMs) =>
    run('sh', ['-c', `echo $$ > ${pidFile}; exec sleep 60`], { timeoutMs }),
  );
  assert.equal(isGone(pid), true);
});

test('killGroup takes the children along', async (t) => {
  const pidFile = join(tempDir(t), 'pid');
  const script = `sleep 60 & echo $! > ${pidFile}; wait`;
  const pid = await timedOut(pidFile, (timeoutMs) =>
    run('sh', ['-c', script], { timeoutMs, killGroup: true }),
  );
  await eventually(() => isGone(pid), 'the child is still there');
});

test('a background child that keeps the outputs open does not hold the result back', async (t) => {
  const pidFile = join(tempDir(t), 'pid');
  const result = await run('sh', ['-c', `sleep 60 & echo $! > ${pidFile}; echo done`]);
  process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL');
  assert.equal(result.stdout.toString(), 'done\n');
});

test('tools are found without the sbin directories in PATH', (t) => {
  const path = process.env['PATH'];
  t.after(() => {
    process.env['PATH'] = path;
  });
  process.env['PATH'] = '';
  assert.equal(findTool('sh'), '/usr/bin/sh');
  assert.equal(findTool('no-such-tool-at-all'), undefined);
  assert.equal(toolPackage('/usr/sbin/ip'), 'iproute2');
  assert.equal(toolPackage('no-such-tool-at-all'), undefined);
  assert.deepEqual(
    missingPackages(['sh', '/nonexistent/bridge', 'no-such-tool-at-all', '/nonexistent/portmap']),
    ['containernetworking-plugins', 'no-such-tool-at-all'],
  );
  for (const tool of [...testTools, ...vmTools, ...benchTools]) {
    assert.notEqual(toolPackage(tool), undefined, tool);
  }
});
