import { type Bus, busClient } from '@gantry/bus';
import { Targets as TargetsService } from '@gantry/proto';
import type { Targets } from '../ports.ts';

/** Asks sandbox-service. */
export function busTargets(bus: Bus): Targets {
  const client = busClient(bus, 'sandbox', TargetsService);
  return {
    find: (containerId, { signal }) => client.getExecTarget({ containerId }, { signal }),
  };
}
