import type { PodLock } from '../pods/pod-lock.ts';
import { type RemovePodDeps, removePod } from '../pods/remove-pod.ts';
import type { RuntimeMethod } from './handlers.ts';

type Deps = RemovePodDeps & { readonly podLock: PodLock };

/** Stops the pod first where that is not done. A pod that is unknown is a success. */
export function removePodSandbox(deps: Deps): RuntimeMethod<'removePodSandbox'> {
  return async ({ podSandboxId }, { signal }) => {
    const sandbox = deps.records.findSandbox(podSandboxId);
    if (sandbox !== undefined) {
      await deps.podLock.run(sandbox.id, () => removePod(deps, sandbox.id), { signal });
    }
    return {};
  };
}
