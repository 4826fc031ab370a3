import { setTimeout as sleep } from 'node:timers/promises';
import { isKind } from '@gantry/errors';
import type { Logger } from '@gantry/telemetry';
import { shortId } from '../ids.ts';
import type { PodLock } from '../pods/pod-lock.ts';
import { type OrphanDeps, removeOrphans } from './orphans.ts';
import { type ReconcilePodDeps, reconcilePod } from './reconcile-pod.ts';

interface Deps extends ReconcilePodDeps, OrphanDeps {
  readonly podLock: PodLock;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Gives up trying. */
  readonly signal: AbortSignal;
}

const longestList = 5;
const firstRetryMs = 250;
const longestRetryMs = 30_000;
/** A pod that takes longer hangs, in the kernel or in a plugin: the others must not wait for it. */
const longestRecoveryMs = 60_000;

/** The start-up work of one instance. */
export interface Reconciliation {
  /**
   * The records of pods can be trusted; from then on requests are served. After a minute
   * it resolves in any case: pods that hang are still locked by then. Never rejects.
   */
  readonly recovered: Promise<void>;
  /** What the first look at the pods waits for, in words; undefined when it is over. */
  problem(): string | undefined;
  /** Nothing is left to repair or to remove. Never rejects. */
  readonly finished: Promise<void>;
}

/**
 * Brings records and host in line. Every pod is looked at once, all beside
 * each other, before requests are served; what fails then, as when image-service is
 * not there yet, is tried again in the background. A pod whose lock is held is
 * in the hands of a living instance and left alone.
 */
export function startReconciliation(deps: Deps): Reconciliation {
  const left = new Set(deps.records.sandboxes.list().map((sandbox) => sandbox.id as string));
  const all = left.size;
  let isOver = false;
  const problem = () =>
    isOver
      ? undefined
      : `recovering: ${String(left.size)} of ${String(all)} pods are not looked at yet: ${[...left].slice(0, longestList).map(shortId).join(', ')}`;
  const first = pass(deps, left).then(() => {
    isOver = true;
  });
  const recovered = withinBound(first, () => {
    deps.log.error({ sandboxes: [...left] }, 'these pods hang: all others are served without them');
  });
  // Rejects only when told to give up.
  const finished = first.then(() => untilDone(deps, left)).catch(() => undefined);
  return { recovered, finished, problem };
}

async function withinBound(done: Promise<void>, onLate: () => void): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    onLate();
    late.resolve();
  }, longestRecoveryMs);
  timer.unref();
  try {
    await Promise.race([done, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function pass(deps: Deps, left: Set<string>): Promise<void> {
  const { podLock, log } = deps;
  await Promise.all(
    [...left].map(async (id) => {
      try {
        await podLock.tryRun(id, () => reconcilePod(deps, id));
        left.delete(id);
      } catch (err) {
        log.warn({ err, sandbox: id }, 'reconcile pod: will try again');
      }
    }),
  );
}

async function untilDone(deps: Deps, left: Set<string>): Promise<void> {
  for (let pauseMs = firstRetryMs; !deps.signal.aborted; pauseMs *= 2) {
    if (left.size === 0 && !(await orphansLeft(deps))) {
      return;
    }
    await sleep(Math.min(pauseMs, longestRetryMs), undefined, { signal: deps.signal, ref: false });
    await pass(deps, left);
  }
}

async function orphansLeft(deps: Deps): Promise<boolean> {
  try {
    await removeOrphans(deps);
    return false;
  } catch (err) {
    // image-service starts beside us: no news for a log.
    if (!isKind(err, 'unavailable')) {
      deps.log.warn({ err }, 'remove what has no record: will try again');
    }
    return true;
  }
}
