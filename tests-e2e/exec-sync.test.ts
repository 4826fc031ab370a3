import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { type Stack, startStack } from './harness/stack.ts';

let stack: Stack;
let podSandboxId: string;
let containerId: string;

before(async () => {
  stack = await startStack();
  const pod = await runPod(stack, podConfig(stack, 'exec'));
  podSandboxId = pod.podSandboxId;
  containerId = await startContainer(
    stack,
    pod,
    shellContainer('target', 'exec sleep 1000', {
      envs: [{ key: 'COLOUR', value: Buffer.from('blue') }],
    }),
  );
});
after(async () => {
  await removePod(stack, podSandboxId);
  await stack[Symbol.asyncDispose]();
});

const sh = (script: string, timeout = 0n) =>
  stack.runtime.execSync({ containerId, cmd: ['/bin/sh', '-c', script], timeout });
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

test('both outputs and the exit code come back apart', async () => {
  const { stdout, stderr, exitCode } = await sh('echo out $COLOUR; echo err >&2; exit 7');
  assert.deepEqual([text(stdout), text(stderr), exitCode], ['out blue\n', 'err\n', 7]);
});

test('a prefix of the id is enough', async () => {
  const { exitCode } = await stack.runtime.execSync({
    containerId: containerId.slice(0, 10),
    cmd: ['true'],
  });
  assert.equal(exitCode, 0);
});

test('each output is cut at 16 MiB and the process is not held up', async () => {
  const { stdout, stderr, exitCode } = await sh(
    'exec 3>&2; dd if=/dev/zero bs=1M count=20 2>/dev/null; dd if=/dev/zero bs=1M count=17 2>/dev/null 1>&3; exit 4',
  );
  assert.deepEqual([stdout.length, stderr.length, exitCode], [16 << 20, 16 << 20, 4]);
});

test('a timeout kills the process, says so, and leaves the container alone', async () => {
  await assert.rejects(sh('exec sleep 7777', 1n), {
    kind: 'deadline-exceeded',
    message: /timed out|timeout/,
  });
  const { stdout } = await sh("ps | grep -c '[s]leep 7777'");
  assert.equal(text(stdout).trim(), '0');
  const { stdout: alive } = await sh("ps | grep -c '[s]leep 1000'");
  assert.equal(text(alive).trim(), '1');
});

test('a command that is not there is an error that names it', async () => {
  await assert.rejects(stack.runtime.execSync({ containerId, cmd: ['/no/such'] }), {
    kind: 'unknown',
    message: /\/no\/such/,
  });
});

test('an exec without a command, or in an unknown container, is refused', async () => {
  await assert.rejects(stack.runtime.execSync({ containerId, cmd: [] }), {
    kind: 'invalid-argument',
  });
  await assert.rejects(stack.runtime.execSync({ containerId: 'f'.repeat(64), cmd: ['true'] }), {
    kind: 'not-found',
    message: /f{64}/,
  });
});
