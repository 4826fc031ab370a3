import { type UpdateResourcesDeps, updateResources } from '../containers/update-resources.ts';
import type { Plugins } from '../nri/plugins.ts';
import type { PodLock } from '../pods/pod-lock.ts';
import type { RuntimeMethod } from './handlers.ts';

type Deps = UpdateResourcesDeps & {
  readonly podLock: PodLock;
  readonly plugins: Pick<Plugins, 'updating' | 'updated'>;
};

/** Fields that are 0 or empty stay as they are. */
export function updateContainerResources(deps: Deps): RuntimeMethod<'updateContainerResources'> {
  return async ({ containerId, linux }, { signal }) => {
    const { id, sandboxId } = deps.records.getContainer(containerId);
    const update = async () => {
      await updateResources(deps, id, await deps.plugins.updating(id, linux), { signal });
    };
    await deps.podLock.run(sandboxId, update, { signal });
    await deps.plugins.updated(id);
    return {};
  };
}
