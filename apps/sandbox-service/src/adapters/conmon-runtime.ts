import { join } from 'node:path';
import type { Config } from '@gantry/config';
import type { Runtime } from '../ports.ts';
import { closeExitDirectory, openConmonRuntime } from '../runtime/conmon-runtime.ts';
import { type ProbedHandler, probeHandlers } from '../runtime/probe-handlers.ts';

/** Room for the exits of 4,096 containers while no service runs; each record is removed when it has been read. */
const exitBytes = 16 << 20;

/** The containers under `state_dir`, held by conmon. */
export function startConmonRuntime(config: Pick<Config, 'pods' | 'state_dir'>): Promise<Runtime> {
  const { pods, state_dir: stateDir } = config;
  return openConmonRuntime({ stateDir, conmon: pods.conmon_path, exitBytes });
}

/** For the end of a service that knows of no pod: `state_dir` can be removed then. */
export function stopConmonRuntime(config: Pick<Config, 'state_dir'>): Promise<void> {
  return closeExitDirectory(config.state_dir);
}

/** Every handler of config.toml's `[runtimes]`, tried on this host; run once at start. */
export function probeConfiguredHandlers(
  config: Pick<Config, 'runtimes' | 'state_dir'>,
): Promise<ReadonlyMap<string, ProbedHandler>> {
  return probeHandlers(config.runtimes, join(config.state_dir, 'runtimes'));
}
