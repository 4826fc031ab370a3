import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { isKind } from '@gantry/errors';
import { hasCode, run, type StartedProcess, type StartOptions, startProcess } from './index.ts';
import { closeFd, lazily } from './libc.ts';

const module = new URL('./index.ts', import.meta.url).href;
const bothOutputs: StartOptions = { stdio: ['null', 'output', 'output'] };

/** Descriptors, and children that nobody has reaped: what is forgotten shows here. */
function counts(): { fds: readonly string[]; children: readonly string[] } {
  const fds = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return `${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`;
    } catch {
      return []; // The one that the listing itself took.
    }
  });
  const threads = readdirSync('/proc/self/task');
  const children = threads.flatMap((thread) =>
    readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' '),
  );
  return { fds, children: children.filter((pid) => pid !== '') };
}

/** Does it twice, for the first time may open what stays for good. */
async function assertNothingLeft(work: () => Promise<unknown>): Promise<void> {
  await work();
  const before = counts();
  await work();
  assert.deepEqual(counts(), before);
}

function start(t: TestContext, script: string, more: Partial<StartOptions> = {}): StartedProcess {
  const child = startProcess('sh', ['-c', script], { ...bothOutputs, ...more });
  t.after(() => {
    child.kill();
    child.output(1).destroy();
    child.output(2).destroy();
  });
  return child;
}

function tempDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-host-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test('a process gets its descriptors in their order, and no other', async (t) => {
  const zero = openSync('/dev/zero', 'r');
  t.after(() => closeSync(zero));
  // dup(2) makes one that is not close-on-exec.
  const inheritable = lazily<[number]>('dup', ['int'])()(zero);
  t.after(() => closeFd(inheritable));
  const child = startProcess('ls', ['-l', '/proc/self/fd'], {
    stdio: [Buffer.from('in'), 'output', 'output', zero, 'null', zero],
  });
  child.output(2).destroy();
  const lines = (await text(child.output(1))).matchAll(/(\d+) -> (\/?\w+[:/]?\w*)/g);
  const table = Array.from(lines, ([, fd, what]) => `${fd} ${what}`);
  const expected = ['0 /memfd:input', '1 pipe:', '2 pipe:', '3 /dev/zero', '4 /dev/null'];
  // The last is the directory that ls reads.
  assert.deepEqual(table, [...expected, '5 /dev/zero', `6 /proc/${String(child.pid)}`]);
});

test('descriptors that are low numbers here arrive as what they are', async (t) => {
  const child = start(t, 'readlink /proc/self/fd/3 /proc/self/fd/4 /proc/self/fd/5', {
    stdio: ['null', 'output', 'output', 2, 0, 1],
  });
  const links = [2, 0, 1].map((fd) => readlinkSync(`/proc/self/fd/${String(fd)}`));
  assert.equal(await text(child.output(1)), `${links.join('\n')}\n`);
});

test('signals that are ignored or blocked here are neither in the process', async (t) => {
  // Node itself ignores SIGPIPE.
  const ignored = /^SigIgn:\s+(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  assert.notEqual(BigInt(`0x${ignored}`) & (1n << 12n), 0n);
  const child = start(t, 'exec grep -E "^Sig(Blk|Ign)" /proc/self/status');
  assert.equal(
    await text(child.output(1)),
    `SigBlk:\t${'0'.repeat(16)}\nSigIgn:\t${'0'.repeat(16)}\n`,
  );
});

test('a process leads a group or a session when asked, and else is in ours', async (t) => {
  const fieldsOf = async (leads: StartOptions['leads']): Promise<readonly unknown[]> => {
    const child = start(t, 'read line; cat /proc/$$/stat', {
      leads,
      stdio: ['null', 'output', 'output'],
    });
    const [group, session] =
      /\) \w \d+ (\d+) (\d+)/.exec(await text(child.output(1)))?.slice(1) ?? [];
    return [Number(group) === child.pid, Number(session) === child.pid];
  };
  assert.deepEqual(await fieldsOf(undefined), [false, false]);
  assert.deepEqual(await fieldsOf('group'), [true, false]);
  assert.deepEqual(await fieldsOf('session'), [true, true]);
});

test('environment, working directory and arguments pass as they are', async (t) => {
  const dir = tempDir(t);
  const child = startProcess('sh', ['-c', 'pwd; env | sort; echo "$1|$2"', 'sh', 'a b', ''], {
    ...bothOutputs,
    cwd: dir,
    env: { A: 'ü=1', B: undefined, C: '' },
  });
  child.output(2).destroy();
  assert.equal(await text(child.output(1)), `${dir}\nA=ü=1\nC=\nPWD=${dir}\na b|\n`);
  process.env['GANTRY_TEST_INHERITED'] = 'yes';
  t.after(() => delete process.env['GANTRY_TEST_INHERITED']);
  assert.equal(await text(start(t, 'echo $GANTRY_TEST_INHERITED').output(1)), 'yes\n');
});

test('exit codes and signals are told, also of a process that ends at once', async () => {
  const table: readonly [script: string, exit: object][] = [
    ['exit 0', { exitCode: 0, signal: null }],
    ['exit 255', { exitCode: 255, signal: null }],
    ['kill -KILL $$', { exitCode: null, signal: 'SIGKILL' }],
    ['kill -SEGV $$', { exitCode: null, signal: 'SIGSEGV' }],
  ];
  for (const [script, exit] of table) {
    const child = startProcess('sh', ['-c', script], { stdio: ['null', 'null', 'null'] });
    assert.deepEqual(await child.exited, exit, script);
    assert.equal(child.kill(), false);
    child.killGroup();
  }
});

test('output is read to the last byte, and input of any size is given', async () => {
  const input = Buffer.alloc(5_000_000, 'x');
  const child = startProcess('tee', ['/proc/self/fd/2'], { stdio: [input, 'output', 'output'] });
  const [out, err] = await Promise.all([1, 2].map((fd) => text(child.output(fd))));
  assert.deepEqual([out?.length, err?.length], [input.length, input.length]);
  assert.deepEqual(await child.exited, { exitCode: 0, signal: null });
});

test('200 processes at once each tell their own end, and leave nothing', async () => {
  await assertNothingLeft(async () => {
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        run('sh', ['-c', `echo ${String(i)}; exit ${String(i)}`]),
      ),
    );
    for (const [i, { exitCode, stdout }] of results.entries()) {
      assert.deepEqual([exitCode, stdout.toString()], [i, `${String(i)}\n`]);
    }
  });
});

test('neither Node nor we reap the children of the other', async () => {
  const nodes = Array.from({ length: 30 }, (_, i) => {
    const child = spawn('sh', ['-c', `exit ${String(i)}`], { stdio: 'ignore' });
    return once(child, 'exit');
  });
  const ours = Array.from({ length: 30 }, (_, i) =>
    startProcess('sh', ['-c', `exit ${String(i + 100)}`], { stdio: ['null'] }),
  );
  assert.deepEqual(
    (await Promise.all(nodes)).map(([code]) => code as unknown),
    nodes.map((_, i) => i),
  );
  const exits = await Promise.all(ours.map((child) => child.exited));
  assert.deepEqual(
    exits.map(({ exitCode }) => exitCode),
    ours.map((_, i) => i + 100),
  );
});

test('a process whose end nobody asks for is reaped all the same', async (t) => {
  const before = counts();
  const { pid } = startProcess('true', [], { stdio: ['null', 'null', 'null'] });
  while (counts().children.includes(String(pid))) {
    await new Promise((go) => setTimeout(go, 5));
    t.signal.throwIfAborted();
  }
  assert.deepEqual(counts().children, before.children);
});

test('what can not be started is told, and leaves nothing', async (t) => {
  const dir = tempDir(t);
  const script = join(dir, 'script');
  writeFileSync(script, '#!/no/such/interpreter\n');
  chmodSync(script, 0o755);
  const plain = join(dir, 'plain');
  writeFileSync(plain, '');
  const missing = /^RuntimeError: \/no\/runc is missing: install Debian package runc/;
  const table: readonly [command: string, args: string[], more: object, expected: unknown][] = [
    ['/no/runc', [], {}, missing],
    ['no-such-tool-at-all', [], {}, /no-such-tool-at-all is missing/],
    [script, [], {}, { code: 'ENOENT', message: new RegExp(`^start ${script}: `) }],
    [plain, [], {}, { code: 'EACCES' }],
    [dir, [], {}, { code: 'EACCES' }],
    ['true', [], { cwd: '/no/where' }, { code: 'ENOENT', message: /in \/no\/where: no such/ }],
    ['true', ['x'.repeat(200_000)], {}, { code: 'E2BIG' }],
    ['true', ['a\0b'], {}, /has a NUL in it/],
    ['true', [], { env: { A: 'a\0b' } }, /has a NUL in it/],
    ['true', [], { cwd: '' }, /the path is empty/],
    ['true', [], { stdio: [Buffer.from('in'), 'output', 'output', 99_999] }, { code: 'EBADF' }],
  ];
  for (const [command, args, more, expected] of table) {
    await assertNothingLeft(async () => {
      const begin = (): unknown =>
        startProcess(command, args, {
          stdio: [Buffer.from('in'), 'output', 'output'],
          ...more,
        });
      assert.throws(begin, expected as RegExp);
      // Sockets are closed at the end of a turn.
      await new Promise((go) => setImmediate(go));
    });
  }
});

test('with no descriptors left it fails as a whole, and works again afterwards', async () => {
  const limit = 64;
  const script = `
    import { readdirSync } from 'node:fs';
    import { run, startProcess } from ${JSON.stringify(module)};
    await run('true', []);
    const before = readdirSync('/proc/self/fd').length;
    const { openSync, closeSync } = await import('node:fs');
    const codes = new Set();
    const held = [];
    try { for (;;) held.push(openSync('/dev/null')); } catch {}
    for (let free = 0; free < 8; free++) {
      try {
        await run('true', [], { stdin: 'in' });
        codes.add('started');
      } catch (error) { codes.add(error.code); }
      closeSync(held.pop());
    }
    held.forEach((fd) => closeSync(fd));
    await run('true', []);
    console.log([...codes].join(' '), readdirSync('/proc/self/fd').length - before);
  `;
  const args = ['-c', `ulimit -n ${String(limit)}; exec "$0" "$@"`, process.execPath];
  const { stdout, stderr } = await run('sh', [...args, '--input-type=module', '-e', script]);
  assert.deepEqual([stdout.toString(), stderr.toString()], ['EMFILE started 0\n', '']);
});

test('a child keeps our process alive until it has ended, and no longer', async () => {
  const script = `
    import { startProcess } from ${JSON.stringify(module)};
    const child = startProcess('sleep', ['0.2'], { stdio: ['null'] });
    child.exited.then(({ exitCode }) => console.log('ended', exitCode));
  `;
  const { stdout, exitCode } = await run(process.execPath, ['--input-type=module', '-e', script], {
    timeoutMs: 20_000,
  });
  assert.deepEqual([stdout.toString(), exitCode], ['ended 0\n', 0]);
});

test('a thread that would never hear of an end starts nothing', async () => {
  const script = `
    const { parentPort } = require('node:worker_threads');
    import(${JSON.stringify(module)}).then(({ startProcess }) => {
      try { startProcess('true', [], { stdio: [] }); } catch (error) { parentPort.postMessage(error.message); }
    });
  `;
  const worker = new Worker(script, { eval: true });
  const [message] = (await once(worker, 'message')) as [string];
  await worker.terminate();
  assert.match(message, /only the main thread/);
});

test('an abort and a timeout leave nothing', async () => {
  await assertNothingLeft(async () => {
    const controller = new AbortController();
    const runs = Array.from({ length: 20 }, () =>
      run('sleep', ['60'], { signal: controller.signal, killGroup: true }),
    );
    controller.abort();
    await Promise.allSettled(runs);
    const late = run('sh', ['-c', 'sleep 60 & wait'], { timeoutMs: 20, killGroup: true });
    await assert.rejects(late, (e) => isKind(e, 'deadline-exceeded') && !hasCode(e, 'ESRCH'));
  });
});
