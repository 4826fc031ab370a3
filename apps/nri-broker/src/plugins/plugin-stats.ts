import { Counter, Gauge, Histogram, type Registry } from '@gantry/telemetry';

/** How one call of a plugin ended: `dropped` is its last one. */
export type CallResult = 'ok' | 'refused' | 'dropped';

/** What an operator wants to know of a plugin. */
export class PluginStats {
  readonly connectedAtNanos = BigInt(Date.now()) * 1_000_000n;
  calls = 0;
  failures = 0;
  slowestMilliseconds = 0;
  lastError = '';
  lastErrorAtNanos = 0n;
  #sumMilliseconds = 0;

  get meanMilliseconds(): number {
    return this.calls === 0 ? 0 : this.#sumMilliseconds / this.calls;
  }

  note(milliseconds: number, error?: string): void {
    this.calls++;
    this.#sumMilliseconds += milliseconds;
    this.slowestMilliseconds = Math.max(this.slowestMilliseconds, milliseconds);
    if (error !== undefined) {
      this.failures++;
      this.noteError(error);
    }
  }

  noteError(error: string): void {
    this.lastError = error;
    this.lastErrorAtNanos = BigInt(Date.now()) * 1_000_000n;
  }
}

export interface PluginMetrics {
  call(plugin: string, event: string, result: CallResult, seconds: number): void;
  /** Of a name that has been gone for long: names that come and go are not to pile up. */
  forget(plugin: string): void;
}

/** Series of this service; `count` says how many plugins there are now. */
export function pluginMetrics(registry: Registry, count: () => number): PluginMetrics {
  const seconds = new Histogram({
    name: 'gantry_nri_plugin_call_seconds',
    help: 'How long plugins took to answer, in seconds.',
    labelNames: ['plugin', 'event'],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2],
    registers: [registry],
  });
  const calls = new Counter({
    name: 'gantry_nri_plugin_calls_total',
    help: 'Calls of plugins, by how they ended.',
    labelNames: ['plugin', 'event', 'result'],
    registers: [registry],
  });
  new Gauge({
    name: 'gantry_nri_plugins',
    help: 'Plugins that are asked now.',
    registers: [registry],
    collect() {
      this.set(count());
    },
  });
  const labels = new Map<string, Map<string, { event: string; result: CallResult }>>();
  return {
    call: (plugin, event, result, duration) => {
      seconds.observe({ plugin, event }, duration);
      calls.inc({ plugin, event, result });
      const known = labels.get(plugin) ?? new Map<string, { event: string; result: CallResult }>();
      labels.set(plugin, known.set(`${event} ${result}`, { event, result }));
    },
    forget: (plugin) => {
      for (const { event, result } of labels.get(plugin)?.values() ?? []) {
        seconds.remove({ plugin, event });
        calls.remove({ plugin, event, result });
      }
      labels.delete(plugin);
    },
  };
}
