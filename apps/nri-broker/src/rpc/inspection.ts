import type { CallContext, ServiceImpl } from '@gantry/bus';
import { eventName } from '@gantry/nri';
import type { PluginInspection } from '@gantry/proto/nri-broker';
import type { Plugin } from '../plugins/plugin.ts';
import type { RefusedPlugin } from '../plugins/turned-away.ts';
import type { PluginHost } from '../ports.ts';
import type { Broker } from '../start-broker.ts';

/** What operators ask. */
export function inspectionService(
  { dispatcher, turnedAway }: Pick<Broker, 'dispatcher' | 'turnedAway'>,
  host: Pick<PluginHost, 'owners'>,
): ServiceImpl<typeof PluginInspection> {
  return {
    listPlugins: () =>
      Promise.resolve({
        plugins: [...dispatcher.plugins.map(statusOf), ...turnedAway.all.map(refusalOf)],
      }),
    explainContainer: async ({ containerId }, { signal }: CallContext) =>
      host.owners(containerId, signal),
  };
}

function refusalOf({ name, origin, reason, atNanos }: RefusedPlugin) {
  return { ...name, origin, state: 'refused', lastError: reason, lastErrorAtNanos: atNanos };
}

function statusOf({ name, origin, state, events, stats }: Plugin) {
  return {
    ...name,
    origin,
    state,
    events: [...events].map(eventName),
    connectedAtNanos: stats.connectedAtNanos,
    calls: BigInt(stats.calls),
    failures: BigInt(stats.failures),
    meanMilliseconds: stats.meanMilliseconds,
    slowestMilliseconds: stats.slowestMilliseconds,
    lastError: stats.lastError,
    lastErrorAtNanos: stats.lastErrorAtNanos,
  };
}
