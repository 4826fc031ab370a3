import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { pressCtrlC } from './harness/press-ctrl-c.ts';
import { killServices, pidsOf, untilAllAnswer } from './harness/services.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { commandWires, finish, openExec, Transcript, type Wire } from './harness/stream-client.ts';
import { until } from './harness/until.ts';

let stack: Stack;
let podSandboxId: string;
let containerId: string;

before(async () => {
  stack = await startStack();
  const pod = await runPod(stack, podConfig(stack, 'exec'));
  podSandboxId = pod.podSandboxId;
  containerId = await startContainer(stack, pod, shellContainer('target', 'exec sleep 1000'));
});
after(async () => {
  await removePod(stack, podSandboxId);
  await stack[Symbol.asyncDispose]();
});

const sh = (wire: Wire, script: string, streams: { stdin?: boolean; tty?: boolean } = {}) =>
  openExec(stack, wire, { containerId, cmd: ['/bin/sh', '-c', script], ...streams });

/** The pids of the container's processes with this command line. */
async function pidsWith(command: string): Promise<string[]> {
  const { stdout } = await stack.runtime.execSync({
    containerId,
    cmd: ['ps', '-o', 'pid,args'],
    timeout: 0n,
  });
  const lines = Buffer.from(stdout).toString().split('\n');
  return lines
    .map((line) => /^\s*(\d+)\s+(.*)$/.exec(line))
    .filter((match) => match?.[2] === command || isWithin(match?.[2] ?? '', command))
    .map((match) => match?.[1] ?? '');
}

/** The busybox of Debian 13 runs a program of its own in the shell's process: `{head} sh -c head ...`. */
function isWithin(line: string, command: string): boolean {
  const [program = ''] = command.split(' ');
  return line.startsWith(`{${program}} `) && line.includes(command);
}

async function countOf(command: string): Promise<number> {
  return (await pidsWith(command)).length;
}

for (const wire of commandWires) {
  const failed = (code: number) => (wire.tellsCode ? { exitCode: code } : undefined);

  test(`${wire.name}: outputs and exit code`, async () => {
    await using client = await sh(wire, 'echo out; echo err >&2; exit 7');
    const { stdout, stderr, status } = await finish(client);
    assert.deepEqual([stdout.toString(), stderr.toString()], ['out\n', 'err\n']);
    assert.deepEqual(status, failed(7) ?? { error: (status as { error?: string }).error });
    assert.notDeepEqual(status, { success: true });
  });

  test(`${wire.name}: input, its end where there is one, and success`, async () => {
    const script = wire.halfClose ? 'cat; echo end' : 'read a; echo "$a"; echo end';
    await using client = await sh(wire, script, { stdin: true });
    client.stdin?.write('typed\n');
    if (wire.halfClose) {
      client.stdin?.end();
    }
    const { stdout, stderr, status } = await finish(client);
    assert.deepEqual([stdout.toString(), stderr.toString()], ['typed\nend\n', '']);
    assert.deepEqual(status, { success: true });
  });

  test(`${wire.name}: a terminal with input, sizes, Ctrl-C and an exit code`, async () => {
    await using client = await sh(
      wire,
      'tty; echo $TERM; trap "echo interrupted; exit 3" INT; echo ready; while :; do read x; stty size; done',
      { stdin: true, tty: true },
    );
    const output = new Transcript(client.stdout);
    await output.until('ready');
    assert.match(output.text, /^\/dev\/(?:pts\/\d+|console)\r\nxterm\r\n/);
    if (wire.resizes) {
      client.resize({ width: 132, height: 50 });
      await until(
        'the size in the container',
        async () => {
          client.stdin?.write('\n');
          return output.text;
        },
        (text) => text.includes('50 132'),
      );
    }
    await pressCtrlC(client.stdin, () => output.text.includes('interrupted'));
    assert.deepEqual(await client.status, failed(3) ?? (await client.status));
  });

  test(`${wire.name}: a terminal without input`, async () => {
    await using client = await sh(wire, '[ -t 1 ] && echo terminal', { tty: true });
    const { stdout, status } = await finish(client);
    assert.equal(stdout.toString(), 'terminal\r\n');
    assert.deepEqual(status, { success: true });
  });
}

const [spdy, webSocket] = ['SPDY v4.channel.k8s.io', 'WebSocket v5.channel.k8s.io'].map((name) =>
  commandWires.find((wire) => wire.name === name),
) as [Wire, Wire];

for (const wire of [spdy, webSocket]) {
  test(`${wire.name}: 100 MB in and out arrive as they are`, async () => {
    await using client = await sh(wire, 'cat', { stdin: true });
    const { stdin, stdout } = client;
    assert.ok(stdin && stdout);
    const [sent, received] = [createHash('sha256'), createHash('sha256')];
    let bytes = 0;
    stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      received.update(chunk);
    });
    client.stderr?.resume();
    for (let i = 0; i < 100; i++) {
      const piece = randomBytes(1_000_000);
      sent.update(piece);
      if (!stdin.write(piece)) {
        await once(stdin, 'drain');
      }
    }
    stdin.end();
    assert.deepEqual(await client.status, { success: true });
    assert.equal(bytes, 100_000_000);
    assert.equal(received.digest('hex'), sent.digest('hex'));
  });

  test(`${wire.name}: a reader that stops holds up the command and nothing else`, async () => {
    await using client = await sh(wire, 'head -c 50000000 /dev/zero; echo done >&2');
    await using other = await sh(wire, 'echo quick');
    assert.equal((await finish(other)).stdout.toString(), 'quick\n');
    // The first may start later than the second, but it does not end.
    await until(
      'the command is held up',
      () => countOf('head -c 50000000 /dev/zero'),
      (count) => count === 1,
    );
    const { stdout, stderr } = await finish(client);
    assert.deepEqual([stdout.length, stderr.toString()], [50_000_000, 'done\n']);
  });

  test(`${wire.name}: a command that can't be started is told and has no output`, async () => {
    await using client = await openExec(stack, wire, { containerId, cmd: ['/no/such'] });
    const { stdout, stderr, status } = await finish(client);
    assert.deepEqual([stdout.length, stderr.toString()], [0, '']);
    assert.match((status as { error: string }).error, /command in container: .*\/no\/such/);
    await using terminal = await openExec(stack, wire, {
      ...{ containerId, cmd: ['/no/such'] },
      tty: true,
    });
    const second = await finish(terminal);
    assert.equal(second.stdout.toString(), '');
    assert.match((second.status as { error: string }).error, /\/no\/such/);
  });

  test(`${wire.name}: a signal of the command is 128 and its number`, async () => {
    await using client = await sh(wire, 'kill -9 $$');
    assert.deepEqual((await finish(client)).status, { exitCode: 137 });
  });

  test(`${wire.name}: a client that vanishes leaves a command, which sees its input end`, async () => {
    const client = await sh(wire, 'echo ready; cat; echo more; exec sleep 4321', { stdin: true });
    await new Transcript(client.stdout).until('ready');
    await client[Symbol.asyncDispose]();
    await client.status.catch(() => undefined);
    await until(
      'the command goes on',
      () => countOf('sleep 4321'),
      (count) => count === 1,
    );
    const [pid = ''] = await pidsWith('sleep 4321');
    await stack.runtime.execSync({ containerId, cmd: ['kill', pid], timeout: 0n });
    await until(
      'the command has ended',
      () => countOf('sleep 4321'),
      (count) => count === 0,
    );
  });

  test(`${wire.name}: a client that vanishes hangs up a terminal`, async () => {
    const client = await openExec(stack, wire, {
      ...{ containerId, cmd: ['/bin/sh', '-c', 'echo ready; sleep 5432'] },
      ...{ stdin: true, tty: true },
    });
    await new Transcript(client.stdout).until('ready');
    await until(
      'the command runs',
      () => countOf('sleep 5432'),
      (count) => count > 0,
    );
    await client[Symbol.asyncDispose]();
    await client.status.catch(() => undefined);
    await until(
      'the command has ended',
      () => countOf('sleep 5432'),
      (count) => count === 0,
    );
  });
}

test('an exec goes on while gateway, sandbox-service and NATS are killed', async () => {
  await using client = await sh(spdy, 'while read a; do echo "got $a"; done', { stdin: true });
  const output = new Transcript(client.stdout);
  client.stdin?.write('one\n');
  await output.until('got one');
  killServices(stack, 'cri-gateway', 'sandbox-service', 'nats-server');
  client.stdin?.write('two\n');
  await output.until('got two');
  await untilAllAnswer(stack);
  client.stdin?.write('three\n');
  await output.until('got three');
  client.stdin?.end();
  assert.deepEqual(await client.status, { success: true });
});

test('a stream server that is killed leaves no helper and no command', async () => {
  await using client = await sh(spdy, 'echo ready; exec sleep 6543');
  await using terminal = await sh(spdy, 'echo ready; exec sleep 7654', { tty: true, stdin: true });
  await new Transcript(client.stdout).until('ready');
  await new Transcript(terminal.stdout).until('ready');
  const [before] = killServices(stack, 'stream-server');
  await assert.rejects(client.status);
  await assert.rejects(terminal.status);
  await until(
    'another stream server',
    () => Promise.resolve(pidsOf(stack, 'stream-server')),
    (pids) => pids.length === 1 && pids[0] !== before,
  );
  await until(
    'the commands have ended',
    async () => [
      ...(await pidsWith('sleep 6543').catch(() => ['?'])),
      ...(await pidsWith('sleep 7654').catch(() => ['?'])),
    ],
    (pids) => pids.length === 0,
  );
});

test('a stream server that is stopped ends its streams and commands, and waits for no client', async () => {
  await using client = await sh(spdy, 'echo ready; exec sleep 8765', { stdin: true });
  await using terminal = await sh(webSocket, 'echo ready; exec sleep 9876', { tty: true });
  await new Transcript(client.stdout).until('ready');
  await new Transcript(terminal.stdout).until('ready');
  const [server = 0] = pidsOf(stack, 'stream-server');
  process.kill(server, 'SIGTERM');
  // Whether a status still comes is a matter of who is faster.
  await Promise.allSettled([client.status, terminal.status]);
  await until(
    'the stream server has stopped',
    () => Promise.resolve(pidsOf(stack, 'stream-server')),
    (pids) => !pids.includes(server) && pids.length === 1,
  );
  await until(
    'the commands have ended',
    async () => [
      ...(await pidsWith('sleep 8765').catch(() => ['?'])),
      ...(await pidsWith('sleep 9876').catch(() => ['?'])),
    ],
    (pids) => pids.length === 0,
  );
});
