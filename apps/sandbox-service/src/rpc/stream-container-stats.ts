import { byAge } from '../pods/pod-view.ts';
import { type ContainerFigures, containerStatsMatch } from '../stats/container-stats.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly containerFigures: ContainerFigures;
}

/** As ListContainerStats, a hundred a message (KEP-5825), each read when its turn has come. */
export function streamContainerStats({
  records,
  containerFigures,
}: Deps): RuntimeMethod<'streamContainerStats'> {
  return async function* ({ filter }) {
    const found = records.containers.list().filter((c) => containerStatsMatch(c, filter));
    const ordered = found.toSorted(byAge);
    for (let at = 0; at < ordered.length; at += pageSize) {
      yield { containerStats: await containerFigures.of(ordered.slice(at, at + pageSize)) };
    }
  };
}

const pageSize = 100;
