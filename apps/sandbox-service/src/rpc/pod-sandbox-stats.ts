import { RuntimeError } from '@gantry/errors';
import type { PodReader } from '../stats/pod-stats.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly podReader: PodReader;
}

/** Throws `failed-precondition` for a pod that is not ready: it has no more processes to tell of. */
export function podSandboxStats({ records, podReader }: Deps): RuntimeMethod<'podSandboxStats'> {
  return async ({ podSandboxId }) => {
    const sandbox = records.getSandbox(podSandboxId);
    if (sandbox.phase !== 'ready') {
      const message = `stats of sandbox ${sandbox.id}: it is not ready (${sandbox.phase})`;
      throw new RuntimeError('failed-precondition', message);
    }
    const [stats] = await podReader.read([sandbox]);
    return stats === undefined ? {} : { stats };
  };
}
