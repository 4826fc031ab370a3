import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { adoptOrphans, expectDeadOrphans, reapOrphan } from './adopt-orphans.ts';
import type { ProcessExit } from './child-reaper.ts';
import { listenForConsole } from './console-socket.ts';
import { identifyProcess, isRunning } from './process-id.ts';
import { startProcess } from './start-process.ts';
import { TerminalMaster } from './terminal-master.ts';

/*
 * What an OCI runtime does with `exec --detach --console-socket`: makes a terminal, sends
 * its master, leaves a process behind that leads a session on it, and tells its pid.
 */
const runtime = `
import fcntl, os, pty, socket, sys, termios
path, script = sys.argv[1:]
master, peer = pty.openpty()
with socket.socket(socket.AF_UNIX) as s:
    s.connect(path)
    socket.send_fds(s, [b'/dev/ptmx'], [master])
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(peer, termios.TIOCSCTTY, 0)
    for fd in range(3): os.dup2(peer, fd)
    os.closerange(3, 100)
    os.execvp('sh', ['sh', '-c', script])
print(pid)
`;

function directory(t: TestContext): string {
  // Longer than the path of a socket may be.
  const dir = mkdtempSync(join(tmpdir(), `gantry-console-${'x'.repeat(120)}`));
  t.after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}

interface OnTerminal {
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
  readonly fd: number;
}

/** Runs a script on a terminal; what comes back is what stream-server has of an exec. */
async function startOnTerminal(t: TestContext, script: string): Promise<OnTerminal> {
  const dir = directory(t);
  using socket = listenForConsole(join(dir, 'console.sock'));
  using _ = adoptOrphans();
  const started = startProcess('python3', ['-c', runtime, socket.path, script], {
    stdio: ['null', 'output', 2],
  });
  const [pid] = await Promise.all([text(started.output(1)), started.exited]);
  const exited = reapOrphan(Number(pid));
  exited.catch(() => undefined);
  const fd = socket.receive();
  assert.ok(fd !== undefined);
  assert.equal(socket.receive(), undefined);
  t.after(async () => {
    await exited;
  });
  return { pid: Number(pid), exited, fd };
}

function terminalsOpen(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return /^\/dev\/(?:ptmx|pts\/)/.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false;
    }
  }).length;
}

test('a process that was left behind is ours: its terminal, its size, its exit', async (t) => {
  const before = terminalsOpen();
  const { exited, fd } = await startOnTerminal(t, 'read line; echo "got $line"; stty size; exit 7');
  const master = new TerminalMaster();
  // Both before there is a terminal.
  master.stream.write('typed\n');
  master.resize(31, 97);
  master.open(fd);
  const output = text(master.stream);
  assert.deepEqual(await exited, { exitCode: 7, signal: null });
  master.finish();
  // Newlines are as the terminal has them: nobody else has a hand in it.
  assert.equal(await output, 'typed\r\ngot typed\r\n31 97\r\n');
  master[Symbol.dispose]();
  assert.equal(terminalsOpen(), before);
});

test('a program in raw mode has its bytes passed as they are', async (t) => {
  const { exited, fd } = await startOnTerminal(t, "stty raw -echo; printf 'a\\nb\\r\\nc\\033[H'");
  using master = new TerminalMaster();
  master.open(fd);
  const output = text(master.stream);
  await exited;
  master.finish();
  assert.equal(await output, 'a\nb\r\nc\u001b[H');
});

test('what was written before anybody looked is all there, in order', async (t) => {
  // More than one read gives, less than makes its writer wait.
  const { exited, fd } = await startOnTerminal(t, 'seq 1 1300');
  await exited;
  using master = new TerminalMaster();
  master.open(fd);
  const output = text(master.stream);
  master.finish();
  const expected = Array.from({ length: 1300 }, (_, n) => `${String(n + 1)}\r\n`).join('');
  assert.equal(await output, expected);
});

test('the end is that of the process, whoever else still has the terminal', async (t) => {
  const { exited, fd } = await startOnTerminal(
    t,
    "trap '' HUP; sleep 100 & echo $!; read line; exit 3",
  );
  using master = new TerminalMaster();
  master.open(fd);
  let output = '';
  const told = new Promise((done) => {
    master.stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.endsWith('\n')) {
        done(undefined);
      }
    });
  });
  const ended = once(master.stream, 'end');
  await told;
  const pid = Number(output);
  // What is written when a session ends while others have its terminal, the kernel may drop.
  master.stream.write('\n');
  assert.deepEqual(await exited, { exitCode: 3, signal: null });
  master.finish();
  await ended;
  process.kill(pid, 'SIGKILL');
});

test('closing it hangs up the process, also when that was before it came', async (t) => {
  for (const isEarly of [false, true]) {
    const { exited, fd } = await startOnTerminal(t, 'while :; do sleep 100; done');
    const master = new TerminalMaster();
    if (isEarly) {
      master[Symbol.dispose]();
      master.open(fd);
    } else {
      master.open(fd);
      master[Symbol.dispose]();
    }
    assert.deepEqual(await exited, { exitCode: null, signal: 'SIGHUP' });
  }
});

test('a runtime that hands over nothing is no terminal, and no socket stays', (t) => {
  const dir = directory(t);
  {
    using socket = listenForConsole(join(dir, 'console.sock'));
    assert.equal(socket.receive(), undefined);
    assert.deepEqual(readdirSync(dir), ['console.sock']);
    const client = connect(socket.path);
    t.after(() => client.destroy());
  }
  assert.deepEqual(readdirSync(dir), []);
  assert.throws(() => listenForConsole(join(dir, 'none', 'console.sock')), { code: 'ENOENT' });
});

test('an orphan that nobody asks for is reaped in the end', async () => {
  const pid = await deadOrphan();
  const stat = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
  assert.match(stat, new RegExp(`\\) \\w ${String(process.pid)} `), 'it is ours');
  while ((await identifyProcess(pid)) !== undefined) {
    await delay(20);
  }
});

test('dead orphans that are told of are reaped at the second look from now', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const pid = await deadOrphan();
  expectDeadOrphans();
  t.mock.timers.tick(50);
  assert.ok(
    (await identifyProcess(pid)) !== undefined,
    'libuv would reap it now, if it were its own',
  );
  t.mock.timers.tick(50);
  assert.equal(await identifyProcess(pid), undefined);
});

/** One that has ended, whose parent has, and that nobody asks for. */
async function deadOrphan(): Promise<number> {
  const script = [
    ...['import os', 'pid = os.fork()', 'if pid == 0: os._exit(0)'],
    ...['os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)', 'print(pid)'],
  ].join('\n');
  using _ = adoptOrphans();
  const started = startProcess('python3', ['-c', script], { stdio: ['null', 'output', 2] });
  const [told] = await Promise.all([text(started.output(1)), started.exited]);
  return Number(told);
}

test('an orphan is not ours when nobody said so, and a stranger is none', async () => {
  const script =
    'import os, sys, time\npid = os.fork()\nif pid == 0: time.sleep(100)\nprint(pid, flush=True)';
  const started = startProcess('python3', ['-c', script], { stdio: ['null', 'output', 2] });
  const output = started.output(1);
  const pid = await new Promise<number>((resolve) => {
    output.once('data', (chunk: Buffer) => resolve(Number(chunk)));
  });
  await started.exited;
  output.destroy();
  const orphan = await identifyProcess(pid);
  assert.ok(orphan !== undefined && (await isRunning(orphan)));
  await assert.rejects(reapOrphan(pid), { code: 'ECHILD' });
  process.kill(pid, 'SIGKILL');
});
