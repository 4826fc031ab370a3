import type { ExitWatch } from '../containers/exit-watch.ts';
import { type RunPodDeps, runPod } from '../pods/run-pod.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps extends RunPodDeps {
  readonly exits: Pick<ExitWatch, 'watchMonitor'>;
}

export function runPodSandbox(deps: Deps): RuntimeMethod<'runPodSandbox'> {
  return async (request, caller) => {
    const podSandboxId = await runPod(deps, request, caller);
    const { facts } = deps.records.sandboxes.get(podSandboxId);
    deps.exits.watchMonitor(podSandboxId, facts.pause?.monitor);
    return { podSandboxId };
  };
}
