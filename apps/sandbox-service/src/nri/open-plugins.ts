import type { Bus } from '@gantry/bus';
import type { Config } from '@gantry/config';
import type { Logger } from '@gantry/telemetry';
import type { Paths } from '../paths.ts';
import type { Records } from '../store/records.ts';
import { AskedPlugins } from './asked-plugins.ts';
import { remotePluginBroker } from './plugin-broker.ts';
import type { Plugins } from './plugins.ts';

/** Plugins behind nri-broker. The whole of this file is loaded only where NRI is enabled. */
export function openPlugins(
  bus: Bus,
  facts: { readonly lowestOomScoreAdj: number },
): (world: PluginsWorld) => Plugins {
  const broker = remotePluginBroker(bus);
  return ({ records, paths, log, signal, config }) =>
    new AskedPlugins({
      broker,
      records,
      paths,
      log,
      signal,
      cdiSpecDirs: config.pods.cdi_spec_dirs,
      ...facts,
    });
}

interface PluginsWorld {
  readonly config: Pick<Config, 'pods'>;
  readonly records: Records;
  readonly paths: Paths;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly signal: AbortSignal;
}
