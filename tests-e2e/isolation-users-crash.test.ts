import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { NamespaceMode } from '@gantry/proto';
import { hostOf, leaks } from './harness/host.ts';
import {
  type ContainerConfig,
  type PodConfig,
  podConfig,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { runDir } from './harness/run-dir.ts';
import { startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

// What a crash leaves of pods with a user namespace: nothing.

const range = [{ containerId: 0, hostId: 700_000, length: 65_536 }];
const usernsOptions = { mode: NamespaceMode.POD, uids: range, gids: range };
const inUsers = { namespaceOptions: { usernsOptions } };

for (const where of [
  'run-pod-sandbox:netns:done',
  'run-pod-sandbox:mount:done',
  'run-pod-sandbox:create',
  'create-container:mount:done',
  'stop-pod-sandbox:userns',
]) {
  test(`a crash at ${where} leaves no user namespace and no mount`, async () => {
    const faultFile = join(runDir(), `fault-${where.replaceAll(':', '-')}`);
    await using stack = await startStack({ environment: { GANTRY_FAULT_FILE: faultFile } });
    const host = await hostOf(stack);
    const config = podConfig(stack, 'crash', {
      linux: { securityContext: inUsers },
    } as Partial<PodConfig>);
    if (where.startsWith('run-pod')) {
      await writeFile(faultFile, where);
      await runPod(stack, config).catch(() => undefined);
    } else {
      const pod = await runPod(stack, config);
      await writeFile(faultFile, where);
      const container = shellContainer('c', 'sleep 1000', {
        linux: { securityContext: inUsers },
      } as Partial<ContainerConfig>);
      await startContainer(stack, pod, container).catch(() => undefined);
      await until(
        'its removal',
        () =>
          removePod(stack, pod.podSandboxId).then(
            () => true,
            () => false,
          ),
        Boolean,
      );
    }
    await until(
      'a clean host',
      async () => leaks(host, await hostOf(stack)),
      (lines) => lines.length === 0,
    );
    // The name is free.
    const { podSandboxId } = (await until(
      'a pod of the same name',
      () => runPod(stack, config).catch(() => undefined),
      (pod) => pod !== undefined,
    )) ?? { podSandboxId: '' };
    await removePod(stack, podSandboxId);
    assert.deepEqual(leaks(host, await hostOf(stack)), []);
  });
}
