import { type RemoveContainerDeps, removeContainer } from '../containers/remove-container.ts';
import { finishEach } from '../finish-all.ts';
import { shortId } from '../ids.ts';
import type { Step } from '../journal/steps.ts';
import { tearDown } from '../journal/tear-down.ts';
import { removeBundle } from '../rootfs.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { removeSandboxFiles } from './sandbox-files.ts';
import { type StopPodDeps, stopPod } from './stop-pod.ts';

export type RemovePodDeps = StopPodDeps & RemoveContainerDeps;

/** Steps of a removal; the pod is stopped already. */
export function removePodSteps(deps: RemovePodDeps): readonly Step<Sandbox>[] {
  const { records } = deps;
  return [
    {
      name: 'containers',
      after: [],
      async run({ id }) {
        const containers = records.containers.ofSandbox(id);
        await finishEach(containers, ({ id: container }) => removeContainer(deps, container));
      },
    },
    ...deps.plugins.removePodSteps.map((step) => ({ ...step, after: ['containers'] })),
    { name: 'bundle', after: [], run: ({ id }) => removeBundle(deps, id) },
    { name: 'files', after: [], run: ({ id }) => removeSandboxFiles(deps, id) },
  ];
}

/**
 * Removes a pod whose lock is held, with its containers; stops it first where
 * that is not done. Its record and name go last. Gone already is a success.
 */
export async function removePod(deps: RemovePodDeps, sandboxId: string): Promise<void> {
  const { records } = deps;
  await stopPod(deps, sandboxId);
  const sandbox = records.sandboxes.find(sandboxId);
  if (sandbox === undefined) {
    return;
  }
  await tearDown(deps, {
    operation: 'remove-pod-sandbox',
    doing: `remove pod sandbox ${shortId(sandboxId)}`,
    subject: sandbox,
    sandboxId,
    steps: removePodSteps(deps),
    keepGoing: true,
    done: () => {
      records.sandboxes.remove(sandboxId);
      records.names.releaseOf(sandboxId);
    },
  });
}
