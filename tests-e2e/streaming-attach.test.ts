import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import {
  ContainerState,
  logPathOf,
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { killServices, untilAllAnswer } from './harness/services.ts';
import { type Stack, startStack } from './harness/stack.ts';
import {
  commandWires,
  finish,
  openAttach,
  Transcript,
  type Wire,
} from './harness/stream-client.ts';
import { until } from './harness/until.ts';

let stack: Stack;
let pod: RunningPod;
let count = 0;

before(async () => {
  stack = await startStack();
  pod = await runPod(stack, podConfig(stack, 'attach'));
});
after(async () => {
  await removePod(stack, pod.podSandboxId);
  await stack[Symbol.asyncDispose]();
});

interface Kind {
  readonly stdin?: boolean;
  readonly stdinOnce?: boolean;
  readonly tty?: boolean;
}

function container(script: string, kind: Kind) {
  count += 1;
  return shellContainer(`c${count}`, script, kind);
}

const start = (script: string, kind: Kind): Promise<string> =>
  startContainer(stack, pod, container(script, kind));

async function hasExited(containerId: string): Promise<void> {
  await until(
    `container ${containerId} has exited`,
    async () => (await stack.runtime.containerStatus({ containerId })).status?.state,
    (state) => state === ContainerState.CONTAINER_EXITED,
  );
}

const echo = 'while read a; do echo "out $a"; echo "err $a" >&2; done';

for (const wire of commandWires) {
  test(`${wire.name}: input reaches the container, both outputs come back apart, leaving is no end`, async () => {
    const containerId = await start(echo, { stdin: true });
    for (const word of ['first', 'second']) {
      await using client = await openAttach(stack, wire, { containerId, stdin: true });
      const [stdout, stderr] = [new Transcript(client.stdout), new Transcript(client.stderr)];
      client.stdin?.write(`${word}\n`);
      await stdout.until(`out ${word}\n`);
      await stderr.until(`err ${word}\n`);
      assert.deepEqual([stdout.text, stderr.text], [`out ${word}\n`, `err ${word}\n`]);
    }
    const { status } = await stack.runtime.containerStatus({ containerId });
    assert.equal(status?.state, ContainerState.CONTAINER_RUNNING);
  });

  test(`${wire.name}: without input the output comes until the end, which is a success`, async () => {
    const containerId = await start('read a; echo $a; exit 5', { stdin: true });
    await using watcher = await openAttach(stack, wire, { containerId });
    await using writer = await openAttach(stack, wire, { containerId, stdin: true });
    writer.stdin?.write('word\n');
    const outcomes = await Promise.all([finish(watcher), finish(writer)]);
    for (const { stdout, stderr, status } of outcomes) {
      assert.deepEqual([stdout.toString(), stderr.toString()], ['word\n', '']);
      assert.deepEqual(status, { success: true });
    }
  });

  test(`${wire.name}: a terminal takes sizes and outlives who is attached`, async () => {
    const containerId = await start('while :; do read x; stty size; done', {
      stdin: true,
      tty: true,
      stdinOnce: true,
    });
    for (const [width, height] of [
      [101, 41],
      [102, 42],
    ] as const) {
      await using client = await openAttach(stack, wire, { containerId, stdin: true, tty: true });
      const output = new Transcript(client.stdout);
      client.resize({ width, height });
      await until(
        'the size in the container',
        () => {
          client.stdin?.write('\n');
          return Promise.resolve(output.text);
        },
        (text) => (wire.resizes ? text.includes(`${height} ${width}\r\n`) : text.length > 20),
      );
    }
    const { status } = await stack.runtime.containerStatus({ containerId });
    assert.equal(status?.state, ContainerState.CONTAINER_RUNNING);
  });

  test(`${wire.name}: a terminal without input is watched`, async () => {
    const containerId = await start('while sleep 0.1; do echo tick; done', { tty: true });
    await using client = await openAttach(stack, wire, { containerId, tty: true });
    await new Transcript(client.stdout).until('tick\r\n');
  });
}

const [spdy, webSocket] = ['SPDY v4.channel.k8s.io', 'WebSocket v5.channel.k8s.io'].map((name) =>
  commandWires.find((wire) => wire.name === name),
) as [Wire, Wire];

for (const wire of [spdy, webSocket]) {
  test(`${wire.name}: with stdinOnce the end of input is that of the container, and its last words come`, async () => {
    const containerId = await start('cat; echo last', { stdin: true, stdinOnce: true });
    await using client = await openAttach(stack, wire, { containerId, stdin: true });
    client.stdin?.write('typed\n');
    client.stdin?.end();
    const { stdout, status } = await finish(client);
    assert.deepEqual([stdout.toString(), status], ['typed\nlast\n', { success: true }]);
    await hasExited(containerId);
  });

  test(`${wire.name}: with stdinOnce a client that vanishes ends the input, one that only watched does not`, async () => {
    const containerId = await start('cat', { stdin: true, stdinOnce: true });
    const watcher = await openAttach(stack, wire, { containerId });
    await watcher[Symbol.asyncDispose]();
    await watcher.status.catch(() => undefined);
    const client = await openAttach(stack, wire, { containerId, stdin: true });
    client.stdin?.write('typed\n');
    await new Transcript(client.stdout).until('typed');
    await client[Symbol.asyncDispose]();
    await client.status.catch(() => undefined);
    await hasExited(containerId);
  });

  test(`${wire.name}: without stdinOnce the end of input detaches`, async () => {
    const containerId = await start('cat; echo ended', { stdin: true });
    await using client = await openAttach(stack, wire, { containerId, stdin: true });
    client.stdin?.write('typed\n');
    const stdout = new Transcript(client.stdout);
    await stdout.until('typed');
    client.stdin?.end();
    assert.deepEqual(await client.status, { success: true });
    assert.equal(stdout.text, 'typed\n');
  });
}

test('much input arrives as it is, from one after the other', async () => {
  const containerId = await start('head -c 3000000 | sha256sum', { stdin: true });
  await using client = await openAttach(stack, spdy, { containerId, stdin: true });
  client.stdin?.write(Buffer.alloc(3_000_000, 'input!'));
  const { stdout } = await finish(client);
  const { createHash } = await import('node:crypto');
  const digest = createHash('sha256').update(Buffer.alloc(3_000_000, 'input!')).digest('hex');
  assert.equal(stdout.toString(), `${digest}  -\n`);
});

test('who does not read is let go, and holds up neither the others nor the log', async () => {
  const size = 60_000_000;
  const config = container(`read go; head -c ${size} /dev/zero | tr '\\0' 'x'; echo; echo done`, {
    stdin: true,
  });
  const containerId = await startContainer(stack, pod, config);
  await using slow = await openAttach(stack, spdy, { containerId });
  slow.stdout?.pause();
  await using quick = await openAttach(stack, spdy, { containerId, stdin: true });
  let bytes = 0;
  quick.stdout?.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  quick.stderr?.resume();
  quick.stdin?.write('go\n');
  assert.deepEqual(await quick.status, { success: true });
  assert.equal(bytes, size + 6);
  await hasExited(containerId);
  assert.ok((await stat(logPathOf(pod, config))).size > size);
  slow.stdout?.resume();
  slow.stderr?.resume();
  const status = await slow.status;
  assert.match('error' in status ? status.error : '', /behind the container's output/);
});

test('a container that does not run can not be attached to', async () => {
  const containerId = await start('exit 0', { stdin: true });
  await hasExited(containerId);
  await assert.rejects(openAttach(stack, spdy, { containerId }), { kind: 'failed-precondition' });
});

test('an attach goes on while gateway and sandbox-service are killed; one after stream-server was killed works', async () => {
  const containerId = await start(echo, { stdin: true });
  await using client = await openAttach(stack, spdy, { containerId, stdin: true });
  const output = new Transcript(client.stdout);
  client.stdin?.write('one\n');
  await output.until('out one');
  killServices(stack, 'cri-gateway', 'sandbox-service');
  client.stdin?.write('two\n');
  await output.until('out two');
  killServices(stack, 'stream-server');
  await assert.rejects(client.status);
  await untilAllAnswer(stack);
  await using second = await openAttach(stack, spdy, { containerId, stdin: true });
  const outputs = new Transcript(second.stdout);
  second.stdin?.write('three\n');
  await outputs.until('out three');
});
