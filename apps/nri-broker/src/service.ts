import { join } from 'node:path';
import { busHandlers } from '@gantry/bus';
import { PluginInspection, Plugins } from '@gantry/proto/nri-broker';
import type { ServiceDefinition } from '@gantry/service-kit';
import { remotePluginHost } from './adapters/sandbox-service.ts';
import { inspectionService } from './rpc/inspection.ts';
import { pluginsService } from './rpc/plugins.ts';
import { startBroker } from './start-broker.ts';

/** Speaks NRI to plugins. It is there once the plugins that it starts itself are. */
export const service: ServiceDefinition = {
  name: 'nri',
  async start({ config, bus, log, metrics, signal }) {
    const host = remotePluginHost(bus);
    const broker = await startBroker({
      config: config.nri,
      stateDir: join(config.state_dir, 'nri'),
      host,
      log,
      metrics,
      signal,
    });
    return {
      handlers: new Map([
        ...busHandlers(Plugins, pluginsService(broker.dispatcher)),
        ...busHandlers(PluginInspection, inspectionService(broker, host)),
      ]),
      [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
    };
  },
};
