import type { Bus } from '@gantry/bus';
import type { Config } from '@gantry/config';
import type { AdjustContainerDeps } from './adjust-container.ts';
import { AskedPlugins } from './asked-plugins.ts';
import { remotePluginBroker } from './plugin-broker.ts';
import type { Plugins } from './plugins.ts';
import type { WantedUpdatesDeps } from './wanted-updates.ts';

/** Plugins behind nri-broker. The whole of this file is loaded only where NRI is enabled. */
export function openPlugins(
  bus: Bus,
  facts: { readonly lowestOomScoreAdj: number },
): (world: PluginsWorld) => Plugins {
  const broker = remotePluginBroker(bus);
  return (world) =>
    new AskedPlugins({
      ...world,
      broker,
      cdiSpecDirs: world.config.pods.cdi_spec_dirs,
      ...facts,
    });
}

type PluginsWorld = WantedUpdatesDeps &
  Pick<AdjustContainerDeps, 'handlers'> & { readonly config: Pick<Config, 'pods'> };
