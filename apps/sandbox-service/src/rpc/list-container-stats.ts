import { byAge } from '../pods/pod-view.ts';
import {
  type ContainerReader,
  containerStatsMatch,
  containerStatsMessage,
} from '../stats/container-stats.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly containerReader: ContainerReader;
}

/** No match, also of an id that nobody has, is an empty list. */
export function listContainerStats({
  records,
  containerReader,
}: Deps): RuntimeMethod<'listContainerStats'> {
  return async ({ filter }) => {
    const found = records.containers.list().filter((c) => containerStatsMatch(c, filter));
    const figures = await containerReader.read(found.toSorted(byAge));
    return { stats: figures.map(containerStatsMessage) };
  };
}
