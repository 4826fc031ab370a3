import { join } from 'node:path';
import type { Config } from '@gantry/config';
import type { Runtime } from '../ports.ts';
import { openConmonRuntime } from '../runtime/conmon-runtime.ts';
import { type ProbedHandler, probeHandlers } from '../runtime/probe-handlers.ts';

/** The containers under `state_dir`, held by conmon. */
export function startConmonRuntime(config: Pick<Config, 'pods' | 'state_dir'>): Promise<Runtime> {
  return openConmonRuntime({ stateDir: config.state_dir, conmon: config.pods.conmon_path });
}

/** Every handler of config.toml's `[runtimes]`, tried on this host; run once at start. */
export function probeConfiguredHandlers(
  config: Pick<Config, 'runtimes' | 'state_dir'>,
): Promise<ReadonlyMap<string, ProbedHandler>> {
  return probeHandlers(config.runtimes, join(config.state_dir, 'runtimes'));
}
