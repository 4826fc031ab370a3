import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import type { HostSnapshot } from '@gantry/host/testing';
import { ContainerState } from '@gantry/proto';
import { hostOf, leaks } from './harness/host.ts';
import { podConfig, type RunningPod, removePod, runPod, shellContainer } from './harness/pod.ts';
import { type Stack, startStack } from './harness/stack.ts';

let stack: Stack;
let clean: HostSnapshot;

before(async () => {
  stack = await startStack();
});
after(async () => {
  await stack[Symbol.asyncDispose]();
});
// Whatever was refused has changed nothing: counted after each test.
beforeEach(async () => {
  clean = await hostOf(stack);
});
afterEach(async () => {
  const { items } = await stack.runtime.listPodSandbox({});
  assert.deepEqual(items, []);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

async function withPod(name: string, use: (pod: RunningPod) => Promise<void>): Promise<void> {
  const pod = await runPod(stack, podConfig(stack, name));
  try {
    await use(pod);
  } finally {
    await removePod(stack, pod.podSandboxId);
  }
}

const unknownId = 'e'.repeat(64);

test('unknown ids are not found, and the message names them', async () => {
  const expected = { kind: 'not-found', message: new RegExp(unknownId) };
  await assert.rejects(stack.runtime.podSandboxStatus({ podSandboxId: unknownId }), expected);
  await assert.rejects(stack.runtime.containerStatus({ containerId: unknownId }), expected);
  await assert.rejects(stack.runtime.startContainer({ containerId: unknownId }), expected);
  await assert.rejects(stack.runtime.reopenContainerLog({ containerId: unknownId }), expected);
  await assert.rejects(
    stack.runtime.createContainer({ podSandboxId: unknownId, config: shellContainer('a', 'true') }),
    expected,
  );
});

test('empty ids are invalid', async () => {
  const expected = { kind: 'invalid-argument' };
  await assert.rejects(stack.runtime.podSandboxStatus({}), expected);
  await assert.rejects(stack.runtime.containerStatus({}), expected);
  await assert.rejects(stack.runtime.stopContainer({}), expected);
});

test('a pod without metadata is invalid', async () => {
  await assert.rejects(stack.runtime.runPodSandbox({ config: { linux: {} } }), {
    kind: 'invalid-argument',
    message: /metadata/,
  });
  await assert.rejects(stack.runtime.runPodSandbox({}), { kind: 'invalid-argument' });
});

test('an unknown runtime handler is named, with those there are', async () => {
  await assert.rejects(
    stack.runtime.runPodSandbox({ config: podConfig(stack, 'handler'), runtimeHandler: 'nope' }),
    { message: /nope.*runc/ },
  );
});

test('a second pod of the same name with another config is refused, naming the owner', async () => {
  const config = podConfig(stack, 'dup');
  const pod = await runPod(stack, config);
  await assert.rejects(stack.runtime.runPodSandbox({ config: { ...config, hostname: 'other' } }), {
    kind: 'already-exists',
    message: new RegExp(pod.podSandboxId),
  });
  await removePod(stack, pod.podSandboxId);
  const again = await runPod(stack, config);
  await removePod(stack, again.podSandboxId);
});

test('a container without metadata, or without an image, is invalid', () =>
  withPod('nometa', async ({ podSandboxId }) => {
    const config = shellContainer('a', 'true');
    const { metadata: _, ...nameless } = config;
    await assert.rejects(stack.runtime.createContainer({ podSandboxId, config: nameless }), {
      kind: 'invalid-argument',
      message: /metadata/,
    });
    const { image: __, ...imageless } = config;
    await assert.rejects(stack.runtime.createContainer({ podSandboxId, config: imageless }), {
      kind: 'invalid-argument',
      message: /image/,
    });
  }));

test('an image that is not on the node is not found, by name', () =>
  withPod('noimage', async ({ podSandboxId }) => {
    await assert.rejects(
      stack.runtime.createContainer({
        podSandboxId,
        config: shellContainer('a', 'true', { image: { image: 'localhost/no/such:1' } }),
      }),
      { kind: 'not-found', message: /localhost\/no\/such:1/ },
    );
    const { containers } = await stack.runtime.listContainers({});
    assert.deepEqual(containers, []);
  }));

test('a command that does not exist fails at start, with reason and code', () =>
  withPod('nocommand', async ({ podSandboxId }) => {
    const { containerId } = await stack.runtime.createContainer({
      podSandboxId,
      config: shellContainer('a', '', { command: ['/no/such/program'] }),
    });
    await assert.rejects(stack.runtime.startContainer({ containerId }), {
      message: /\/no\/such\/program/,
    });
    const { status } = await stack.runtime.containerStatus({ containerId });
    assert.equal(status?.state, ContainerState.CONTAINER_EXITED);
    assert.equal(status.reason, 'StartError');
    assert.equal(status.exitCode, 128);
    assert.ok(status.finishedAt > 0n);
    assert.match(status.message, /\/no\/such\/program/);
    await assert.rejects(stack.runtime.startContainer({ containerId }), {
      kind: 'failed-precondition',
    });
    await stack.runtime.stopContainer({ containerId, timeout: 1n });
    await stack.runtime.removeContainer({ containerId });
  }));

test('a user that the image does not know is refused at create', () =>
  withPod('nouser', async ({ podSandboxId }) => {
    await assert.rejects(
      stack.runtime.createContainer({
        podSandboxId,
        config: shellContainer('a', 'true', {
          linux: { securityContext: { runAsUsername: 'nobody-knows' } },
        }),
      }),
      { message: /nobody-knows/ },
    );
  }));

test('a container cannot be created in a stopped pod', async () => {
  const pod = await runPod(stack, podConfig(stack, 'stopped'));
  await stack.runtime.stopPodSandbox(pod);
  await assert.rejects(
    stack.runtime.createContainer({ ...pod, config: shellContainer('a', 'true') }),
    { kind: 'failed-precondition', message: new RegExp(pod.podSandboxId) },
  );
  await stack.runtime.removePodSandbox(pod);
});

test('a network plugin that fails is named, and the pod is undone', async () => {
  const good = join(stack.cniConfDir, '10-test.conflist');
  const plugins = join(stack.dir, 'plugins');
  await mkdir(plugins, { recursive: true });
  await writeFile(
    join(stack.cniConfDir, '05-bad.conflist'),
    JSON.stringify({ cniVersion: '1.0.0', name: 'bad', plugins: [{ type: 'e2e-broken' }] }),
  );
  try {
    await assert.rejects(stack.runtime.runPodSandbox({ config: podConfig(stack, 'badcni') }), {
      message: /badcni.*e2e-broken/s,
    });
  } finally {
    await rm(join(stack.cniConfDir, '05-bad.conflist'));
  }
  await rename(good, `${good}.off`);
  try {
    await assert.rejects(stack.runtime.runPodSandbox({ config: podConfig(stack, 'nocni') }), {
      message: /no configuration|not initialized|uninitialized/,
    });
  } finally {
    await rename(`${good}.off`, good);
  }
  const pod = await runPod(stack, podConfig(stack, 'goodcni'));
  await removePod(stack, pod.podSandboxId);
});

test('a plugin that fails after the bridge took an address gives the address back', async () => {
  const plugin = join(stack.dir, 'plugins', 'e2e-fails');
  await mkdir(join(stack.dir, 'plugins'), { recursive: true });
  await writeFile(
    plugin,
    `#!/bin/sh
[ "$CNI_COMMAND" = DEL ] && exit 0
echo '{"cniVersion":"1.0.0","code":100,"msg":"no more widgets"}'
exit 1
`,
  );
  await chmod(plugin, 0o755);
  const bridge = {
    type: 'bridge',
    bridge: 'gefail0',
    isGateway: true,
    ipam: { type: 'host-local', dataDir: stack.ipamDir, ranges: [[{ subnet: '10.60.200.0/24' }]] },
  };
  const file = join(stack.cniConfDir, '05-fail.conflist');
  await writeFile(
    file,
    JSON.stringify({ cniVersion: '1.0.0', name: 'fail', plugins: [bridge, { type: 'e2e-fails' }] }),
  );
  try {
    await assert.rejects(stack.runtime.runPodSandbox({ config: podConfig(stack, 'widgets') }), {
      message: /widgets.*e2e-fails.*no more widgets/s,
    });
    const addresses = (await readdir(join(stack.ipamDir, 'fail'))).filter((f) => /^\d/.test(f));
    assert.deepEqual(addresses, []);
  } finally {
    await rm(file);
  }
});
