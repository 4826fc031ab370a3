import { byAge } from '../pods/pod-view.ts';
import { type PodReader, podStatsMatch } from '../stats/pod-stats.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly podReader: PodReader;
}

/** Of pods that are ready. No match, also of an id that nobody has, is an empty list. */
export function listPodSandboxStats({
  records,
  podReader,
}: Deps): RuntimeMethod<'listPodSandboxStats'> {
  return async ({ filter }) => {
    const found = records.sandboxes.list().filter((sandbox) => podStatsMatch(sandbox, filter));
    return { stats: await podReader.read(found.toSorted(byAge)) };
  };
}
