import { RuntimeError } from '@gantry/errors';
import { ListPluginsResponseSchema, type PluginStatus } from '@gantry/proto/nri-broker';
import { connect } from '../cri/connection.ts';
import type { Invocation } from '../invocation.ts';
import { formatted, messageJson, outputFormat } from '../output/format.ts';
import { table } from '../output/table.ts';
import { agoNanos } from '../output/time.ts';

const allEvents = 14;

/** `gantry nri plugins`: those that are asked, in their order, and the last ones that have gone or were turned away. */
export async function nriPlugins(invocation: Invocation): Promise<void> {
  const format = outputFormat(invocation);
  requireNri(invocation);
  using cri = connect(invocation);
  const answer = await cri.plugins.listPlugins({}, { signal: invocation.signal });
  if (format !== 'table') {
    invocation.out(formatted(format, messageJson(ListPluginsResponseSchema, answer)));
    return;
  }
  invocation.out(
    table(
      ['PLUGIN', 'ORIGIN', 'STATE', 'CALLS', 'FAILED', 'MEAN', 'SLOWEST', 'LAST ERROR', 'EVENTS'],
      answer.plugins.map(rowOf),
    ),
  );
}

/** Without it there is nobody to ask. */
export function requireNri(invocation: Invocation): void {
  if (!invocation.config().nri.enabled) {
    throw new RuntimeError(
      'failed-precondition',
      'NRI is disabled. Set enabled = true in [nri] of the config file, and start Gantry anew',
    );
  }
}

function rowOf(plugin: PluginStatus): string[] {
  const { calls, failures, meanMilliseconds, slowestMilliseconds, events } = plugin;
  return [
    // One that was turned away may not have said who it is.
    plugin.name === '' ? '?' : `${plugin.index}-${plugin.name}`,
    plugin.origin,
    plugin.state,
    String(calls),
    String(failures),
    `${meanMilliseconds.toFixed(1)}ms`,
    `${slowestMilliseconds.toFixed(1)}ms`,
    plugin.lastError === '' ? '-' : `${plugin.lastError} (${agoNanos(plugin.lastErrorAtNanos)})`,
    // Last: of a plugin that wants most of them they are wider than a terminal.
    events.length === allEvents ? 'all' : events.join(','),
  ];
}
