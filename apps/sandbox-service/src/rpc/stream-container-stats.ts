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

/** As ListContainerStats, a hundred a message (KEP-5825), each read when its turn has come. */
export function streamContainerStats({
  records,
  containerReader,
}: Deps): RuntimeMethod<'streamContainerStats'> {
  return async function* ({ filter }) {
    const found = records.containers.list().filter((c) => containerStatsMatch(c, filter));
    const ordered = found.toSorted(byAge);
    for (let at = 0; at < ordered.length; at += pageSize) {
      const figures = await containerReader.read(ordered.slice(at, at + pageSize));
      yield { containerStats: figures.map(containerStatsMessage) };
    }
  };
}

const pageSize = 100;
