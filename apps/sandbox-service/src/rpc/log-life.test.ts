import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containerConfig, newNode, podConfig, silent, startOn } from '../testing.ts';

test('each change of the life of a pod has one line, and what changes nothing has none', async (t) => {
  const lines: [string, object][] = [];
  const info = (fields: object | string, message = '') => {
    lines.push([message, Object(fields)]);
  };
  const node = await newNode(t);
  const service = await startOn(t, { ...node, log: { ...silent, info } });
  await service.service.reconciliation.finished;

  const config = podConfig('web');
  const { podSandboxId } = await service.call('runPodSandbox', { config });
  const { containerId } = await service.call('createContainer', {
    podSandboxId,
    config: containerConfig('c'),
    sandboxConfig: config,
  });
  await service.call('startContainer', { containerId });
  await service.call('stopContainer', { containerId, timeout: 0n });
  for (const _ of [1, 2]) {
    await service.call('removeContainer', { containerId });
  }
  for (const _ of [1, 2]) {
    await service.call('stopPodSandbox', { podSandboxId });
  }
  for (const _ of [1, 2]) {
    await service.call('removePodSandbox', { podSandboxId });
  }

  assert.deepEqual(
    lines.map(([message]) => message),
    [
      'the pod runs',
      'the container is created',
      'the container is started',
      'the container has ended',
      'the container is removed',
      'the pod is stopped',
      'the pod is removed',
    ],
  );
  const [runs, created, , ended] = lines.map(([, fields]) => fields);
  assert.partialDeepStrictEqual(runs, { sandbox: podSandboxId, pod: 'default/web' });
  assert.partialDeepStrictEqual(created, {
    container: containerId,
    sandbox: podSandboxId,
    name: 'c',
  });
  assert.partialDeepStrictEqual(ended, { container: containerId, exit_code: 137, reason: 'Error' });
});
