import { byAge } from '../pods/pod-view.ts';
import { type PodReader, podStatsMatch } from '../stats/pod-stats.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly podReader: PodReader;
}

/** As ListPodSandboxStats, a hundred a message (KEP-5825), each read when its turn has come. */
export function streamPodSandboxStats({
  records,
  podReader,
}: Deps): RuntimeMethod<'streamPodSandboxStats'> {
  return async function* ({ filter }) {
    const found = records.sandboxes.list().filter((sandbox) => podStatsMatch(sandbox, filter));
    const ordered = found.toSorted(byAge);
    for (let at = 0; at < ordered.length; at += pageSize) {
      yield { podSandboxStats: await podReader.read(ordered.slice(at, at + pageSize)) };
    }
  };
}

const pageSize = 100;
