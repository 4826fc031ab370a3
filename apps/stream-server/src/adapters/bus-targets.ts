import { type Bus, busClient } from '@gantry/bus';
import { Targets as TargetsService } from '@gantry/proto';
import type { Targets } from '../ports.ts';
import { rememberTargets } from './remember-targets.ts';

/** Asks sandbox-service, and remembers what it said: probes come every few seconds. */
export function busTargets(bus: Bus): Targets {
  const client = busClient(bus, 'sandbox', TargetsService);
  return rememberTargets({
    find: (containerId, { signal }) => client.getExecTarget({ containerId }, { signal }),
  });
}
