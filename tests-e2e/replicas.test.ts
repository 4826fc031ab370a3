import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostOf, leaks } from './harness/host.ts';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { killServices, pidsOf } from './harness/services.ts';
import { stackForTests } from './harness/stack-for-tests.ts';
import { until } from './harness/until.ts';

const stack = await stackForTests({
  config:
    '[services]\nreplicas = { "sandbox-service" = 3, "image-service" = 2, "stream-server" = 2 }',
});

test('several instances of each service work on the same pods without harm', async () => {
  assert.equal(pidsOf(stack, 'sandbox-service').length, 3);
  const clean = await hostOf(stack);
  await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      const pod = await runPod(stack, podConfig(stack, `replica-${i}`));
      const containerId = await startContainer(stack, pod, shellContainer('c', 'exec sleep 1000'));
      const { exitCode } = await stack.runtime.execSync({ containerId, cmd: ['true'] });
      assert.equal(exitCode, 0);
      // Every instance must see the exit, whichever recorded it.
      await stack.runtime.stopContainer({ containerId, timeout: 0n });
      for (let ask = 0; ask < 6; ask++) {
        const { status } = await stack.runtime.containerStatus({ containerId });
        assert.equal(status?.exitCode, 137);
      }
      await removePod(stack, pod.podSandboxId);
    }),
  );
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('the same stop and remove sent to several instances at once all succeed', async () => {
  const clean = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, 'contended'));
  await startContainer(stack, pod, shellContainer('c', 'exec sleep 1000'));
  await Promise.all(Array.from({ length: 6 }, () => stack.runtime.stopPodSandbox(pod)));
  await Promise.all(Array.from({ length: 6 }, () => stack.runtime.removePodSandbox(pod)));
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('a restart of all instances does not touch what one of them is doing', async () => {
  const clean = await hostOf(stack);
  const pods = await Promise.all(
    Array.from({ length: 4 }, (_, i) => runPod(stack, podConfig(stack, `steady-${i}`))),
  );
  const [victim] = pidsOf(stack, 'sandbox-service');
  assert.ok(victim !== undefined);
  process.kill(victim, 'SIGKILL');
  const during = await Promise.allSettled(
    pods.map((pod) => startContainer(stack, pod, shellContainer('c', 'exec sleep 1000'))),
  );
  killServices(stack, 'sandbox-service');
  await until(
    'answers',
    () =>
      stack.runtime.listContainers({}).then(
        () => true,
        () => false,
      ),
    (ok) => ok,
    60_000,
  );
  const { containers } = await stack.runtime.listContainers({});
  for (const outcome of during) {
    if (outcome.status === 'fulfilled') {
      assert.ok(containers.some((c) => c.id === outcome.value));
    }
  }
  await Promise.all(pods.map((pod) => removePod(stack, pod.podSandboxId)));
  // The instances that come back last still look at what was left.
  await until(
    'what is left on the host',
    async () => leaks(clean, await hostOf(stack)),
    (list) => list.length === 0,
  );
});
