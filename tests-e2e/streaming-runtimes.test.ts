import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { NamespaceMode } from '@gantry/proto';
import { dialPortForward } from '@gantry/remotecommand';
import { isCgroupHybrid, leaveHybrid } from './harness/cgroup-mode.ts';
import {
  type ContainerConfig,
  type PodConfig,
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { pressCtrlC } from './harness/press-ctrl-c.ts';
import { killServices, pidsOf, untilAllAnswer } from './harness/services.ts';
import { type Stack, startStack } from './harness/stack.ts';
import {
  commandWires,
  finish,
  openAttach,
  openExec,
  Transcript,
  type Wire,
} from './harness/stream-client.ts';
import { until } from './harness/until.ts';

// What may differ between the runtimes, and where all services share one process: who makes the
// terminal, whose child a command is, and how its end is told. One wire of each transport is enough here.

const [spdy, webSocket] = ['SPDY v4.channel.k8s.io', 'WebSocket v5.channel.k8s.io'].map((name) =>
  commandWires.find((wire) => wire.name === name),
) as [Wire, Wire];

const range = [{ containerId: 0, hostId: 700_000, length: 65_536 }];
const usernsOptions = { mode: NamespaceMode.POD, uids: range, gids: range };

for (const cell of [
  { name: 'runc', runtime: 'runc', program: 'stream-server', config: '' },
  { name: 'crun', runtime: 'crun', program: 'stream-server', config: '' },
  { name: 'compact', runtime: 'runc', program: 'compact', config: '[services]\ncompact = true\n' },
] as const) {
  suite(cell);
}

interface Cell {
  readonly name: string;
  readonly runtime: string;
  /** Whose child a command is. */
  readonly program: 'stream-server' | 'compact';
  readonly config: string;
}

function suite({ name, runtime, program, config }: Cell): void {
  let hybrid: AsyncDisposable | undefined;
  let stack: Stack;
  let pod: RunningPod;
  let containerId: string;

  before(async () => {
    hybrid = runtime === 'crun' && (await isCgroupHybrid()) ? await leaveHybrid() : undefined;
    stack = await startStack({ defaultRuntime: runtime, config });
    pod = await runPod(stack, podConfig(stack, 'target'));
    containerId = await startContainer(stack, pod, shellContainer('main', 'exec sleep 1000'));
  });
  after(async () => {
    await removePod(stack, pod.podSandboxId);
    await stack[Symbol.asyncDispose]();
    await hybrid?.[Symbol.asyncDispose]();
  });

  const named = (what: string): string => `${name}: ${what}`;
  const sh = (
    wire: Wire,
    script: string,
    streams: { stdin?: boolean; tty?: boolean; id?: string } = {},
  ) =>
    openExec(stack, wire, {
      containerId: streams.id ?? containerId,
      cmd: ['/bin/sh', '-c', script],
      ...streams,
    });

  /** Children of the service that have ended and that nobody has reaped. */
  function zombies(): number {
    const servers = pidsOf(stack, program).map(String);
    return readdirSync('/proc').filter((pid) => {
      const fields = statOf(pid);
      return fields[0] === 'Z' && servers.includes(fields[1] ?? '');
    }).length;
  }

  test(named('outputs, input and its end, code'), async () => {
    await using client = await sh(spdy, 'cat; echo err >&2; exit 7', { stdin: true });
    client.stdin?.end('typed');
    const { stdout, stderr, status } = await finish(client);
    assert.deepEqual(
      [stdout.toString(), stderr.toString(), status],
      ['typed', 'err\n', { exitCode: 7 }],
    );
  });

  test(named('no word of a short command on a terminal is lost'), async () => {
    for (let i = 0; i < 30; i++) {
      const wire = i % 2 === 0 ? spdy : webSocket;
      await using client = await openExec(stack, wire, {
        ...{ containerId, cmd: ['echo', 'hello', String(i)] },
        ...{ tty: true, stdin: i % 3 === 0 },
      });
      const { stdout, status } = await finish(client);
      assert.deepEqual([stdout.toString(), status], [`hello ${i}\r\n`, { success: true }]);
    }
  });

  test(named('all of a long output on a terminal, up to its last word'), async () => {
    await using client = await sh(spdy, 'seq 1 20000', { tty: true });
    const { stdout } = await finish(client);
    const lines = Array.from({ length: 20_000 }, (_, n) => `${n + 1}\r\n`);
    assert.equal(stdout.toString(), lines.join(''));
  });

  test(named('a terminal with input, a size, Ctrl-C and a code'), async () => {
    await using client = await sh(
      webSocket,
      'tty; trap "stty size; exit 3" INT; echo ready; while :; do read x; echo "got $x"; done',
      { stdin: true, tty: true },
    );
    const output = new Transcript(client.stdout);
    await output.until('ready\r\n');
    assert.match(output.text, /^\/dev\/(?:pts\/\d+|console)\r\n/);
    client.resize({ width: 132, height: 50 });
    client.stdin?.write('a\n');
    await output.until('got a\r\n');
    await pressCtrlC(client.stdin, () => output.text.includes('50 132\r\n'));
    assert.deepEqual(await client.status, { exitCode: 3 });
  });

  test(named('a program in raw mode has its bytes passed as they are'), async () => {
    await using client = await sh(spdy, "stty raw -echo; printf 'a\\nb\\r\\nc'", { tty: true });
    assert.equal((await finish(client)).stdout.toString(), 'a\nb\r\nc');
  });

  test(
    named('the end of a command on a terminal is the end, whoever it has left there'),
    async () => {
      const script = 'trap "" HUP; sleep 3210 & echo "left $!."; read x; exit 4';
      await using client = await sh(spdy, script, { tty: true, stdin: true });
      const output = new Transcript(client.stdout);
      await output.until(/left \d+\./);
      // What is written when a session ends while others have its terminal, the kernel may drop.
      client.stdin?.write('\n');
      assert.deepEqual(await client.status, { exitCode: 4 });
      const [, left = ''] = /left (\d+)\./.exec(output.text) ?? [];
      // It is still there.
      const kill = { containerId, cmd: ['kill', '-9', left], timeout: 0n };
      assert.equal((await stack.runtime.execSync(kill)).exitCode, 0);
    },
  );

  for (const tty of [false, true]) {
    const where = tty ? 'on a terminal' : 'without a terminal';

    test(named(`a command that can't be started is told, ${where}`), async () => {
      await using client = await openExec(stack, spdy, { containerId, cmd: ['/no/such'], tty });
      const { stdout, stderr, status } = await finish(client);
      assert.deepEqual([stdout.toString(), stderr.toString()], ['', '']);
      assert.match((status as { error: string }).error, /in container: [ -~]*\/no\/such[ -~]*$/);
    });

    test(
      named(`a command ${where} that is out of memory is killed, its container is not`),
      async () => {
        const id = await startContainer(
          stack,
          pod,
          shellContainer(`small-${tty}`, 'exec sleep 1000', {
            linux: { resources: { memoryLimitInBytes: 32n << 20n } },
          } as Partial<ContainerConfig>),
        );
        await using client = await sh(spdy, 'echo begun; exec tail /dev/zero', { id, tty });
        const { stdout, status } = await finish(client);
        assert.match(stdout.toString(), /^begun\r?\n/);
        assert.deepEqual(status, { exitCode: 137 });
        await using next = await sh(spdy, 'echo alive', { id });
        assert.equal((await finish(next)).stdout.toString(), 'alive\n');
      },
    );

    test(named(`a command ${where} ends with its container`), async () => {
      const id = await startContainer(stack, pod, shellContainer(`ends-${tty}`, 'exec sleep 1000'));
      await using client = await sh(webSocket, 'trap "" TERM HUP; echo ready; sleep 1000', {
        ...{ id, tty },
        stdin: true,
      });
      await new Transcript(client.stdout).until('ready');
      await stack.runtime.stopContainer({ containerId: id, timeout: 0n });
      assert.deepEqual(await client.status, { exitCode: 137 });
    });

    test(named(`outputs can be opened again where root is another user, ${where}`), async () => {
      const securityContext = { namespaceOptions: { usernsOptions } };
      const users = await runPod(
        stack,
        podConfig(stack, `users-${tty}`, { linux: { securityContext } } as Partial<PodConfig>),
      );
      try {
        const id = await startContainer(
          stack,
          users,
          shellContainer('main', 'exec sleep 1000', {
            linux: { securityContext },
          } as Partial<ContainerConfig>),
        );
        const script = 'id -u; echo again > /dev/stdout; read a < /dev/stdin; echo "$a"';
        await using client = await sh(spdy, script, { id, tty, stdin: true });
        client.stdin?.write('typed\n');
        const { stdout, stderr } = await finish(client);
        const words = stdout
          .toString()
          .replaceAll('\r', '')
          .replace(/^typed\n/, '');
        assert.match(words, /^(?:typed\n)?0\n(?:typed\n)?again\n(?:typed\n)?typed\n$/);
        assert.equal(stderr.toString(), '');
        const sync = await stack.runtime.execSync({
          ...{ containerId: id, timeout: 0n },
          cmd: ['sh', '-c', 'echo out > /dev/stdout; echo err > /dev/stderr'],
        });
        assert.equal(Buffer.from(sync.stdout).toString(), 'out\n');
        assert.equal(Buffer.from(sync.stderr).toString(), 'err\n');
      } finally {
        await removePod(stack, users.podSandboxId);
      }
    });

    test(named(`attach ${where}`), async () => {
      const id = await startContainer(
        stack,
        pod,
        shellContainer(`attach-${tty}`, 'while read a; do echo "got $a"; done', {
          ...{ stdin: true, tty },
        }),
      );
      await using client = await openAttach(stack, spdy, { containerId: id, stdin: true, tty });
      const output = new Transcript(client.stdout);
      client.stdin?.write('word\n');
      await output.until(tty ? 'got word\r\n' : 'got word\n');
    });
  }

  test(named('a port'), async () => {
    const id = await startContainer(
      stack,
      pod,
      shellContainer('www', 'mkdir /tmp/w; echo page > /tmp/w/x; exec httpd -f -p 8080 -h /tmp/w'),
    );
    await until(
      'it listens',
      async () =>
        (await stack.runtime.execSync({ containerId: id, cmd: ['netstat', '-ltn'] })).stdout,
      (list) => Buffer.from(list).toString().includes(':8080 '),
    );
    const { url } = await stack.runtime.portForward({
      podSandboxId: pod.podSandboxId,
      port: [8080],
    });
    await using client = await dialPortForward(url, { transport: 'spdy' });
    const connection = await client.open(8080);
    connection.end('GET /x HTTP/1.0\r\n\r\n');
    assert.match(await text(connection), /page\n$/);
  });

  test(named('nothing of all that is left to be reaped'), async () => {
    await until(
      'no zombies',
      () => Promise.resolve(zombies()),
      (count) => count === 0,
    );
  });

  test(
    named('a service that stops tells its clients so, and none takes that for an end'),
    async () => {
      await using terminal = await sh(spdy, 'echo ready; sleep 5432', { tty: true, stdin: true });
      await using client = await sh(webSocket, 'echo ready; exec sleep 5432');
      await using attached = await openAttach(stack, spdy, { containerId });
      await new Transcript(terminal.stdout).until('ready');
      await new Transcript(client.stdout).until('ready');
      for (const pid of pidsOf(stack, program)) {
        process.kill(pid, 'SIGTERM');
      }
      for (const { status } of [terminal, client, attached]) {
        assert.match(((await status) as { error: string }).error, /: stream-server is stopping/);
      }
      await untilAllAnswer(stack);
    },
  );

  test(named('a service that is killed leaves no command, on a terminal or not'), async () => {
    // The first ignores what the end of its terminal means.
    await using terminal = await sh(spdy, 'trap "" HUP; echo ready; sleep 6543; sleep 6543', {
      ...{ tty: true, stdin: true },
    });
    await using client = await sh(spdy, 'echo ready; exec sleep 7654');
    await new Transcript(terminal.stdout).until('ready');
    await new Transcript(client.stdout).until('ready');
    const before = killServices(stack, program);
    await Promise.all([assert.rejects(client.status), assert.rejects(terminal.status)]);
    await until(
      'the commands have ended',
      () =>
        stack.runtime.execSync({ containerId, cmd: ['ps', '-o', 'args'] }).catch(() => undefined),
      (answer) =>
        answer !== undefined && !/sleep [67]\d+/.test(Buffer.from(answer.stdout).toString()),
      60_000,
    );
    assert.notDeepEqual(pidsOf(stack, program), before);
    await untilAllAnswer(stack);
  });
}

/** The fields of /proc/<pid>/stat from the state on. */
function statOf(pid: string): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}
