import { messageOf, RuntimeError } from '@gantry/errors';
import type { OciResources } from '@gantry/oci';
import type { CallOptions, RuntimeHandler } from '../ports.ts';
import { ociFailure, runOci } from './oci-command.ts';

/**
 * Changes the limits of a running container by `<runtime> update`. Throws
 * `failed-precondition` with the runtime's words when it refuses; some of the
 * limits may hold then.
 */
export async function updateLimits(
  handler: RuntimeHandler,
  root: string,
  id: string,
  limits: OciResources,
  { signal }: CallOptions = {},
): Promise<void> {
  const args = ['update', '--resources=-', id] as const;
  const result = await runOci(handler, root, args, signal, JSON.stringify(checked(limits)));
  if (result.exitCode !== 0) {
    const cause = ociFailure(`update container ${id}`, handler, 'update', result);
    throw new RuntimeError('failed-precondition', messageOf(cause));
  }
}

/** Under cgroup v2 a limit below the usage kills instead of failing, unless the runtime looks first. */
function checked(limits: OciResources): OciResources {
  const { memory } = limits;
  return memory?.limit === undefined || memory.limit <= 0
    ? limits
    : { ...limits, memory: { ...memory, checkBeforeUpdate: true } };
}
