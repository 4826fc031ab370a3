import type { ServiceImpl } from '@gantry/bus';
import { RuntimeError } from '@gantry/errors';
import { eventName, fieldName, removedKey } from '@gantry/nri';
import type { PluginInspection } from '@gantry/proto/nri-broker';
import type { Dispatcher } from '../events/dispatcher.ts';
import type { Plugin } from '../plugins/plugin.ts';

/** What operators ask. */
export function inspectionService(dispatcher: Dispatcher): ServiceImpl<typeof PluginInspection> {
  return {
    listPlugins: () => Promise.resolve({ plugins: dispatcher.plugins.map(statusOf) }),
    explainContainer: ({ containerId }) =>
      Promise.try(() => {
        const id = findId([...dispatcher.owners.keys()], containerId);
        const owners = (dispatcher.owners.get(id) ?? []).map(({ field, key = '', owner }) => {
          const remover = removedKey(owner);
          return {
            field: fieldName(field),
            key,
            plugin: remover ?? owner,
            action: remover === undefined ? 'set' : 'removed',
          };
        });
        return { containerId: id, owners };
      }),
  };
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

function findId(ids: readonly string[], prefix: string): string {
  const found = prefix === '' ? [] : ids.filter((id) => id.startsWith(prefix));
  const [id] = found;
  if (id === undefined) {
    const words = `container "${prefix}": no plugin was asked of it since nri-broker started`;
    throw new RuntimeError('not-found', words);
  }
  if (found.length > 1 && !found.includes(prefix)) {
    throw new RuntimeError('invalid-argument', `container "${prefix}": more than one begins so`);
  }
  return found.includes(prefix) ? prefix : id;
}
