import { type UpdateResourcesDeps, updateResources } from '../containers/update-resources.ts';
import type { PodLock } from '../pods/pod-lock.ts';
import type { RuntimeMethod } from './handlers.ts';

type Deps = UpdateResourcesDeps & { readonly podLock: PodLock };

/** Fields that are 0 or empty stay as they are. */
export function updateContainerResources(deps: Deps): RuntimeMethod<'updateContainerResources'> {
  return async ({ containerId, linux }, { signal }) => {
    const { id, sandboxId } = deps.records.getContainer(containerId);
    await deps.podLock.run(sandboxId, () => updateResources(deps, id, linux, { signal }), {
      signal,
    });
    return {};
  };
}
