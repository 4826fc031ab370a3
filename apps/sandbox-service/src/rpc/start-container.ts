import type { ExitWatch } from '../containers/exit-watch.ts';
import { type StartContainerDeps, startContainer } from '../containers/start-container.ts';
import type { Plugins } from '../nri/plugins.ts';
import type { PodLock } from '../pods/pod-lock.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps extends StartContainerDeps {
  readonly podLock: PodLock;
  readonly exits: Pick<ExitWatch, 'watchMonitor'>;
  readonly plugins: Plugins;
}

export function startContainerMethod(deps: Deps): RuntimeMethod<'startContainer'> {
  return async ({ containerId }, { signal }) => {
    const { id, sandboxId } = deps.records.getContainer(containerId);
    await deps.podLock.run(sandboxId, () => startContainer(deps, id, { signal }), { signal });
    deps.exits.watchMonitor(id, deps.records.containers.find(id)?.facts.monitor);
    await deps.plugins.started(id);
    return {};
  };
}
