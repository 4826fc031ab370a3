import type { PodLock } from '../pods/pod-lock.ts';
import { type StopPodDeps, stopPod } from '../pods/stop-pod.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps extends StopPodDeps {
  readonly podLock: PodLock;
}

/** A pod that is unknown, or stopped already, is a success. */
export function stopPodSandbox(deps: Deps): RuntimeMethod<'stopPodSandbox'> {
  return async ({ podSandboxId }, { signal }) => {
    const sandbox = deps.records.findSandbox(podSandboxId);
    if (sandbox !== undefined && sandbox.phase !== 'stopped') {
      await deps.podLock.run(sandbox.id, () => stopPod(deps, sandbox.id), { signal });
    }
    return {};
  };
}
