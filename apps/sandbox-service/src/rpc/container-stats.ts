import type { ContainerFigures } from '../stats/container-stats.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly containerFigures: ContainerFigures;
}

/** One that does not run has its attributes and its writable layer alone. */
export function containerStats({
  records,
  containerFigures,
}: Deps): RuntimeMethod<'containerStats'> {
  return async ({ containerId }) => {
    const [stats] = await containerFigures.of([records.getContainer(containerId)]);
    return stats === undefined ? {} : { stats };
  };
}
