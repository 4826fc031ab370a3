import { RuntimeError } from '@gantry/errors';
import { type CheckpointDeps, checkpointContainer } from '../checkpoint/checkpoint-container.ts';
import { checkPath } from '../client-text.ts';
import { shortId } from '../ids.ts';
import type { PodLock } from '../pods/pod-lock.ts';
import type { RuntimeMethod } from './handlers.ts';

/** Node's timers take no more, and would end at once. */
const longestTimerMs = 2 ** 31 - 1;

interface Deps extends CheckpointDeps {
  readonly podLock: PodLock;
}

/** `timeout` is in seconds; none is as long as the caller waits. */
export function checkpointContainerMethod(deps: Deps): RuntimeMethod<'checkpointContainer'> {
  return async ({ containerId, location, timeout }, { signal }) => {
    const { id, sandboxId } = deps.records.getContainer(containerId);
    const doing = `checkpoint container ${shortId(id)}`;
    checkPath(`${doing}: location`, location);
    if (timeout < 0n) {
      throw new RuntimeError('invalid-argument', `${doing}: timeout ${timeout} is negative`);
    }
    const timeoutMs = Math.min(Number(timeout) * 1000, longestTimerMs);
    const limit = timeout > 0n ? [AbortSignal.timeout(timeoutMs)] : [];
    const both = AbortSignal.any([signal, ...limit]);
    await deps.podLock.run(
      sandboxId,
      () => checkpointContainer(deps, id, location, { signal: both }),
      { signal: both },
    );
    return {};
  };
}
