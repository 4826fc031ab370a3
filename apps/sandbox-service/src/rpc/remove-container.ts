import { type RemoveContainerDeps, removeContainer } from '../containers/remove-container.ts';
import type { PodLock } from '../pods/pod-lock.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps extends RemoveContainerDeps {
  readonly podLock: PodLock;
}

/** A container that runs is killed; one that is unknown is a success. */
export function removeContainerMethod(deps: Deps): RuntimeMethod<'removeContainer'> {
  return async ({ containerId }, { signal }) => {
    const container = deps.records.findContainer(containerId);
    if (container !== undefined) {
      const { id, sandboxId } = container;
      await deps.podLock.run(sandboxId, () => removeContainer(deps, id), { signal });
    }
    return {};
  };
}
