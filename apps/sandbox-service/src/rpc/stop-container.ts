import { quote, RuntimeError } from '@gantry/errors';
import type { ContainerStops } from '../containers/stop-container.ts';
import type { Plugins } from '../nri/plugins.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly stops: ContainerStops;
  readonly plugins: Pick<Plugins, 'settled'>;
}

/** A container that is unknown, or does not run, is a success. The timeout is in seconds. */
export function stopContainer({ records, stops, plugins }: Deps): RuntimeMethod<'stopContainer'> {
  return async ({ containerId, timeout }, { signal }) => {
    if (timeout < 0n) {
      const message = `stop container ${quote(containerId)}: timeout ${timeout} is negative`;
      throw new RuntimeError('invalid-argument', message);
    }
    const container = records.findContainer(containerId);
    if (container !== undefined) {
      await stops.stop(container.id, Number(timeout) * 1000, { signal });
      await plugins.settled(container.id);
    }
    return {};
  };
}
