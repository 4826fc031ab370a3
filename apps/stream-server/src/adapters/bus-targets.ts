import { type Bus, busClient } from '@gantry/bus';
import { Targets as TargetsService } from '@gantry/proto';
import type { AttachTargets, PodTargets, Targets } from '../ports.ts';
import { rememberTargets } from './remember-targets.ts';

/** Asks sandbox-service, and remembers what it said of execs: probes come every few seconds. */
export function busTargets(bus: Bus): Targets & AttachTargets & PodTargets {
  const client = busClient(bus, 'sandbox', TargetsService);
  const remembered = rememberTargets({
    find: (containerId, { signal }) => client.getExecTarget({ containerId }, { signal }),
  });
  return {
    find: (containerId, options) => remembered.find(containerId, options),
    findAttach: (containerId, { signal }) => client.getExecTarget({ containerId }, { signal }),
    findPod: (podSandboxId, { signal }) => client.getPodTarget({ podSandboxId }, { signal }),
  };
}
