import { type CreateContainerDeps, createContainer } from '../containers/create-container.ts';
import type { RuntimeMethod } from './handlers.ts';

export function createContainerMethod(deps: CreateContainerDeps): RuntimeMethod<'createContainer'> {
  return async (request, caller) => ({
    containerId: await createContainer(deps, request, caller),
  });
}
