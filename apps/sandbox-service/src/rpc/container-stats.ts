import { type ContainerReader, containerStatsMessage } from '../stats/container-stats.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly containerReader: ContainerReader;
}

/** One that does not run has its attributes and its writable layer alone. */
export function containerStats({
  records,
  containerReader,
}: Deps): RuntimeMethod<'containerStats'> {
  return async ({ containerId }) => {
    const [figures] = await containerReader.read([records.getContainer(containerId)]);
    return figures === undefined ? {} : { stats: containerStatsMessage(figures) };
  };
}
