import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isKind, messageOf } from '@gantry/errors';
import { NamespaceMode } from '@gantry/proto';
import { newNode, podConfig, startOn } from '../testing.ts';

const ids = [{ containerId: 0, hostId: 100_000, length: 65_536 }];
const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids };
const config = podConfig('users', {
  linux: { securityContext: { namespaceOptions: { usernsOptions } } },
});

test('a pod with users of its own is refused where ids can not be mapped, before anything is made', async (t) => {
  const node = await newNode(t);
  const [handler] = node.host.handlers;
  assert.ok(handler);
  const why = 'Linux 5.19 is needed, this is 5.10';
  node.host.handlers.splice(0, 1, { ...handler, noUserNamespaces: why });
  const service = await startOn(t, node);
  await service.service.reconciliation.finished;
  await assert.rejects(service.call('runPodSandbox', { config }), (error) => {
    assert.ok(isKind(error, 'failed-precondition'));
    assert.match(messageOf(error), new RegExp(`"runc" has no user namespaces: ${why}`));
    return true;
  });
  assert.deepEqual(node.host.leftovers(), []);
  // A kubelet asks here first, and lets no such pod come to this node.
  const { runtimeHandlers } = await service.call('status', {});
  assert.deepEqual(
    runtimeHandlers.map(({ name, features }) => [name, features?.userNamespaces]),
    [
      ['', false],
      ['runc', false],
    ],
  );
  await service.call('runPodSandbox', { config: podConfig('plain') });
});

test('a pod with users of its own has one namespace for them, and leaves nothing', async (t) => {
  const node = await newNode(t);
  const service = await startOn(t, node);
  await service.service.reconciliation.finished;
  const { podSandboxId } = await service.call('runPodSandbox', { config });
  const made = node.host.calls.filter((call) => call.startsWith('namespaces.createUsers'));
  assert.equal(made.length, 1);
  await service.call('removePodSandbox', { podSandboxId });
  assert.deepEqual(node.host.leftovers(), []);
});
