import type { RuntimeMethod } from './handlers.ts';

/** Says who we are. A client refuses a runtime that leaves anything empty. */
export function version(runtimeVersion: string): RuntimeMethod<'version'> {
  return () =>
    Promise.resolve({
      version: '0.1.0',
      runtimeName: 'gantry',
      runtimeVersion,
      runtimeApiVersion: 'v1',
    });
}
