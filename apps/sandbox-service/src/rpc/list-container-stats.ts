import { byAge } from '../pods/pod-view.ts';
import { type ContainerFigures, containerStatsMatch } from '../stats/container-stats.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly containerFigures: ContainerFigures;
}

/** No match, also of an id that nobody has, is an empty list. */
export function listContainerStats({
  records,
  containerFigures,
}: Deps): RuntimeMethod<'listContainerStats'> {
  return async ({ filter }) => {
    const found = records.containers.list().filter((c) => containerStatsMatch(c, filter));
    return { stats: await containerFigures.of(found.toSorted(byAge)) };
  };
}
