import { type CreateContainerDeps, createContainer } from '../containers/create-container.ts';
import { type RemoveContainerDeps, removeContainer } from '../containers/remove-container.ts';
import type { Plugins } from '../nri/plugins.ts';
import type { RuntimeMethod } from './handlers.ts';

type Deps = CreateContainerDeps &
  RemoveContainerDeps & { readonly plugins: Pick<Plugins, 'created'> };

/** Where a plugin's change of another container fails, the one that it came with is not to be. */
export function createContainerMethod(deps: Deps): RuntimeMethod<'createContainer'> {
  return async (request, caller) => {
    const containerId = await createContainer(deps, request, caller);
    try {
      await deps.plugins.created(containerId);
    } catch (error) {
      const { sandboxId } = deps.records.containers.get(containerId);
      await deps.podLock.run(sandboxId, () => removeContainer(deps, containerId));
      throw error;
    }
    return { containerId };
  };
}
