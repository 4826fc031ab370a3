import { type RunPodDeps, runPod } from '../pods/run-pod.ts';
import type { RuntimeMethod } from './handlers.ts';

export function runPodSandbox(deps: RunPodDeps): RuntimeMethod<'runPodSandbox'> {
  return async (request, caller) => ({ podSandboxId: await runPod(deps, request, caller) });
}
