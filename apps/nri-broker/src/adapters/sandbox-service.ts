import { setTimeout as sleep } from 'node:timers/promises';
import { type Bus, busClient } from '@gantry/bus';
import { isKind } from '@gantry/errors';
import { PluginHost as PluginHostService } from '@gantry/proto/nri-broker';
import type { PluginHost } from '../ports.ts';

const pauseMs = 100;

/** Asks sandbox-service, and waits for it while it is away: at the start of a stack it may come later. */
export function remotePluginHost(bus: Bus): PluginHost {
  const client = busClient(bus, 'sandbox', PluginHostService);
  return {
    async snapshot(signal) {
      for (;;) {
        try {
          return await client.snapshot({}, { signal });
        } catch (error) {
          if (!isKind(error, 'unavailable')) {
            throw error;
          }
          await sleep(pauseMs, undefined, { signal });
        }
      }
    },
    async update(request, signal) {
      const { failed } = await client.updateContainers(request, { signal });
      return failed;
    },
    async owners(prefix, signal) {
      const { containerId, owners } = await client.getOwners({ containerId: prefix }, { signal });
      return { containerId, owners };
    },
  };
}
