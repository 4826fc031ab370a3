import { setTimeout as sleep } from 'node:timers/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Bus, busClient } from '@gantry/bus';
import { isKind } from '@gantry/errors';
import {
  type AdjustContainerRequestSchema,
  type AdjustContainerResponse,
  type AdjustUpdateRequestSchema,
  type AdjustUpdateResponse,
  type NotifyRequestSchema,
  type NotifyResponse,
  Plugins as PluginsService,
} from '@gantry/proto/nri-broker';

/** nri-broker, which asks the plugins. */
export interface PluginBroker {
  /** Waits a while for a broker that is away, unless `patient` is false. */
  notify(
    request: MessageInitShape<typeof NotifyRequestSchema>,
    options?: { readonly signal?: AbortSignal; readonly patient?: boolean },
  ): Promise<NotifyResponse>;
  adjustContainer(
    request: MessageInitShape<typeof AdjustContainerRequestSchema>,
    signal?: AbortSignal,
  ): Promise<AdjustContainerResponse>;
  adjustUpdate(
    request: MessageInitShape<typeof AdjustUpdateRequestSchema>,
  ): Promise<AdjustUpdateResponse>;
}

const patienceMs = 5000;
const pauseMs = 100;
/** A plugin that is taken in, and others before it, may hold up an event for so long. */
const longestCallMs = 120_000;

export function remotePluginBroker(bus: Bus): PluginBroker {
  const client = busClient(bus, 'nri', PluginsService);
  return {
    async notify(request, { signal, patient = true } = {}) {
      const call = () => client.notify(request, optionsOf(signal));
      return patient ? patiently(call, signal) : call();
    },
    adjustContainer: (request, signal) =>
      patiently(() => client.adjustContainer(request, optionsOf(signal)), signal),
    adjustUpdate: (request) => patiently(() => client.adjustUpdate(request, optionsOf())),
  };
}

function optionsOf(signal?: AbortSignal) {
  return { deadlineMs: Date.now() + longestCallMs, ...(signal && { signal }) };
}

/** A broker that was killed is back within a second or two: no pod need fail for that. */
async function patiently<T>(call: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const until = Date.now() + patienceMs;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isKind(error, 'unavailable') || Date.now() > until) {
        throw error;
      }
    }
    await sleep(pauseMs, undefined, signal === undefined ? {} : { signal });
  }
}
