import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCgroupHybrid, leaveHybrid } from './harness/cgroup-mode.ts';
import { hostOf, leaks } from './harness/host.ts';
import { podConfig, removePod, shellContainer, startContainer } from './harness/pod.ts';
import { type Stack, startStack } from './harness/stack.ts';

test('a handler that cannot run on this host says why, in Status and when it is asked for', {
  skip: (await isCgroupHybrid()) ? false : 'the host is not a hybrid cgroup host',
}, async () => {
  const stack = await startStack();
  try {
    const { status, info } = await stack.runtime.status({ verbose: true });
    assert.ok(status?.conditions.every((c) => c.status));
    assert.match(JSON.stringify(info), /crun.*hybrid/s);
    await assert.rejects(
      stack.runtime.runPodSandbox({
        config: podConfig(stack, 'hybrid'),
        runtimeHandler: 'crun',
      }),
      { kind: 'failed-precondition', message: /crun.*hybrid/s },
    );
  } finally {
    await stack[Symbol.asyncDispose]();
  }
});

for (const handler of ['runc', 'crun']) {
  test(`a pod runs under ${handler}`, async (t) => {
    let stack: Stack | undefined;
    const hybrid = await leaveHybrid();
    t.after(async () => {
      await stack?.[Symbol.asyncDispose]();
      await hybrid[Symbol.asyncDispose]();
    });
    stack = await startStack();
    const clean = await hostOf(stack);
    const config = podConfig(stack, `with-${handler}`);
    const { podSandboxId } = await stack.runtime.runPodSandbox({ config, runtimeHandler: handler });
    const containerId = await startContainer(
      stack,
      { podSandboxId, config },
      shellContainer('c', 'exec sleep 1000'),
    );
    const { status } = await stack.runtime.podSandboxStatus({ podSandboxId });
    assert.equal(status?.runtimeHandler, handler);
    const { stdout } = await stack.runtime.execSync({ containerId, cmd: ['echo', 'in'] });
    assert.equal(Buffer.from(stdout).toString(), 'in\n');
    await removePod(stack, podSandboxId);
    assert.deepEqual(leaks(clean, await hostOf(stack)), []);
  });
}
