import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { Attach, Exec, KubeConfig, PortForward, type V1Status } from '@kubernetes/client-node';
import { type KubeProxy, startKubeProxy } from './harness/kube-proxy.ts';
import {
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { pressCtrlC } from './harness/press-ctrl-c.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { Transcript } from './harness/stream-client.ts';
import { until } from './harness/until.ts';

// The client library of Kubernetes for JavaScript, as it is. It names v5 to v1 by WebSocket, for
// port-forward too, and takes what it is given.

let stack: Stack;
let proxy: KubeProxy;
let config: KubeConfig;
let pod: RunningPod;
let containerId: string;

before(async () => {
  stack = await startStack();
  pod = await runPod(stack, podConfig(stack, 'client'));
  containerId = await startContainer(
    stack,
    pod,
    shellContainer('main', 'mkdir /tmp/w; echo page > /tmp/w/x; exec httpd -f -p 8080 -h /tmp/w'),
  );
  proxy = await startKubeProxy(stack);
  config = new KubeConfig();
  config.loadFromOptions({
    // Without it the library speaks no plain HTTP.
    clusters: [{ name: 'c', server: proxy.url, skipTLSVerify: true }],
    users: [{ name: 'u' }],
    contexts: [{ name: 'x', cluster: 'c', user: 'u' }],
    currentContext: 'x',
  });
});
after(async () => {
  await proxy[Symbol.asyncDispose]();
  await removePod(stack, pod.podSandboxId);
  await stack[Symbol.asyncDispose]();
});

/** The terminal of a person, as the library asks it for its size. */
class Screen extends PassThrough {
  rows = 24;
  columns = 80;

  resize(rows: number, columns: number): void {
    this.rows = rows;
    this.columns = columns;
    this.emit('resize');
  }
}

interface Streams {
  readonly stdout?: PassThrough;
  readonly stderr?: PassThrough | null;
  readonly stdin?: PassThrough | null;
  readonly tty?: boolean;
}

/** Runs a shell script; resolves with the status that the callback was told. */
async function exec(script: string, streams: Streams): Promise<V1Status> {
  const { promise, resolve } = Promise.withResolvers<V1Status>();
  const { stdout = new PassThrough(), stderr = null, stdin = null, tty = false } = streams;
  await new Exec(config).exec(
    'e2e',
    pod.podSandboxId,
    containerId,
    ['/bin/sh', '-c', script],
    stdout,
    stderr,
    stdin,
    tty,
    resolve,
  );
  return promise;
}

const codeOf = (status: V1Status): string | undefined =>
  status.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message;

test('exec: outputs apart, and the exit code in the status', async () => {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const words = Promise.all([text(stdout), text(stderr)]);
  const status = await exec('echo out; echo err >&2; exit 7', { stdout, stderr });
  assert.deepEqual(await words, ['out\n', 'err\n']);
  assert.deepEqual([status.status, codeOf(status)], ['Failure', '7']);
});

test('exec: input, its end, and success', async () => {
  const [stdout, stdin] = [new PassThrough(), new PassThrough()];
  const words = text(stdout);
  const ended = exec('cat; echo end', { stdout, stdin });
  stdin.end('typed\n');
  assert.equal((await ended).status, 'Success');
  assert.equal(await words, 'typed\nend\n');
});

test('exec: a terminal with input, sizes, Ctrl-C and an exit code', async () => {
  const [screen, stdin] = [new Screen(), new PassThrough()];
  const output = new Transcript(screen);
  const ended = exec(
    'trap "echo interrupted; exit 3" INT; echo ready; while :; do read x; stty size; done',
    { stdout: screen, stdin, tty: true },
  );
  await output.until('ready\r\n');
  const isTold = (size: string): Promise<string> =>
    until(
      'the size in the container',
      () => {
        stdin.write('\n');
        return Promise.resolve(output.text);
      },
      (seen) => seen.includes(size),
    );
  await isTold('24 80');
  screen.resize(50, 132);
  await isTold('50 132');
  await pressCtrlC(stdin, () => output.text.includes('interrupted\r\n'));
  const status = await ended;
  assert.equal(codeOf(status), '3');
});

test('exec: a terminal without input', async () => {
  const stdout = new PassThrough();
  const words = text(stdout);
  const status = await exec('[ -t 1 ] && echo terminal', { stdout, tty: true });
  assert.equal(await words, 'terminal\r\n');
  assert.equal(status.status, 'Success');
});

test('exec: a command that can not be started is told', async () => {
  const { promise, resolve } = Promise.withResolvers<V1Status>();
  await new Exec(config).exec(
    'e2e',
    pod.podSandboxId,
    containerId,
    ['/no/such'],
    new PassThrough(),
    new PassThrough(),
    null,
    false,
    resolve,
  );
  const status = await promise;
  assert.equal(status.status, 'Failure');
  assert.match(status.message ?? '', /\/no\/such/);
});

for (const tty of [false, true]) {
  test(`attach: input and output, ${tty ? 'on a terminal with its size' : 'without a terminal'}`, async () => {
    const id = await startContainer(
      stack,
      pod,
      shellContainer(`attach-${tty}`, 'while read a; do echo "got $a"; stty size; done', {
        ...{ stdin: true, tty },
      }),
    );
    const [screen, stdin] = [new Screen(), new PassThrough()];
    screen.resize(33, 101);
    const output = new Transcript(screen);
    const socket = await new Attach(config).attach(
      'e2e',
      pod.podSandboxId,
      id,
      screen,
      tty ? null : new PassThrough(),
      stdin,
      tty,
    );
    await until(
      'an answer',
      () => {
        stdin.write('word\n');
        return Promise.resolve(output.text);
      },
      (seen) => (tty ? seen.includes('33 101\r\n') : seen.includes('got word\n')),
    );
    socket.close();
  });
}

test('port-forward: a page', async () => {
  const [output, errors, input] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const seen = new Transcript(output);
  const socket = await new PortForward(config).portForward(
    'e2e',
    pod.podSandboxId,
    [8080],
    output,
    errors,
    input,
  );
  input.write('GET /x HTTP/1.0\r\n\r\n');
  await seen.until(/200 OK.*page\n$/s);
  assert.ok(typeof socket === 'object');
  socket.close();
});

test('port-forward: a port where nobody listens is told', async () => {
  const [output, errors, input] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const told = once(errors, 'data');
  const socket = await new PortForward(config).portForward(
    'e2e',
    pod.podSandboxId,
    [8099],
    output,
    errors,
    input,
  );
  assert.match(String((await told)[0]), /8099.*ECONNREFUSED/);
  assert.ok(typeof socket === 'object');
  socket.close();
});
