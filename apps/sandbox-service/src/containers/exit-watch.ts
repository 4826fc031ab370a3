import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@gantry/telemetry';
import type { PodLock } from '../pods/pod-lock.ts';
import type { Records } from '../store/records.ts';
import type { ContainerEnd } from './container-end.ts';

interface Deps {
  readonly records: Records;
  readonly podLock: PodLock;
  readonly containerEnd: ContainerEnd;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Gives up trying. */
  readonly signal: AbortSignal;
}

const firstRetryMs = 500;
const longestRetryMs = 30_000;

/**
 * Returns what to call when the exit record of a container has appeared. Every
 * instance of this service is told of every exit; under the lock of the pod the
 * first one writes it down, and the others find it done.
 */
export function exitWatch(deps: Deps): (id: string) => void {
  const { log, signal } = deps;
  const handle = async (id: string): Promise<void> => {
    for (let pauseMs = firstRetryMs; !signal.aborted; pauseMs *= 2) {
      try {
        await settle(deps, id);
        return;
      } catch (err) {
        log.warn({ err, id }, 'record an exit: will try again');
      }
      await sleep(Math.min(pauseMs, longestRetryMs), undefined, { signal, ref: false });
    }
  };
  return (id) => {
    handle(id).catch(() => undefined);
  };
}

async function settle({ records, podLock, containerEnd, log }: Deps, id: string): Promise<void> {
  const container = records.containers.find(id);
  if (container !== undefined) {
    // One that is being started may have exited before its start is written down.
    if (container.phase !== 'exited' || container.facts.inRuntime === true) {
      await podLock.run(container.sandboxId, () => settleContainer(records, containerEnd, id));
    }
    containerEnd.tell(id);
    return;
  }
  const phase = records.sandboxes.find(id)?.phase;
  if (phase === 'ready' || phase === 'creating') {
    await podLock.run(id, () => {
      if (records.sandboxes.find(id)?.phase === 'ready') {
        records.sandboxes.update(id, { phase: 'notready' });
        log.info({ sandbox: id }, 'pause container has exited: sandbox is not ready');
      }
      return Promise.resolve();
    });
  }
}

async function settleContainer(
  records: Records,
  containerEnd: ContainerEnd,
  id: string,
): Promise<void> {
  if (records.containers.find(id)?.phase === 'running') {
    await containerEnd.recordExit(records.containers.get(id), { killed: false });
  }
  const now = records.containers.find(id);
  if (now?.phase === 'exited') {
    await containerEnd.deleteFromRuntime(now);
  }
}
