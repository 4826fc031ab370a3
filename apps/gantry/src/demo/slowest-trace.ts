import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '@gantry/config';
import { readTraces, type TraceTree } from '@gantry/telemetry';

const limitMs = 5000;
const lookAgainMs = 100;
const considered = 200;

/**
 * The longest trace that began at `sinceMs` or later, once those of all methods in `methods` are there:
 * services write their spans a moment after they have answered. Undefined when tracing is off.
 */
export async function slowestTrace(
  config: Config,
  sinceMs: number,
  methods: readonly string[],
): Promise<TraceTree | undefined> {
  for (let waitedMs = 0; ; waitedMs += lookAgainMs) {
    const recent = readTraces({ rootDir: config.root_dir, limit: considered }).filter(
      (trace) => trace.startMs >= sinceMs,
    );
    const names = recent.flatMap((trace) => trace.roots.map((root) => root.name));
    if (
      methods.every((method) => names.some((name) => name.endsWith(method))) ||
      waitedMs >= limitMs
    ) {
      return recent.sort((a, b) => b.durationMs - a.durationMs)[0];
    }
    await sleep(lookAgainMs);
  }
}
