import { serveRoutes } from '@gantry/rpc/serve';
import type { ServiceContext, ServiceDefinition, StartedService } from '@gantry/service-kit';
import { forward } from './forward.ts';
import { nodeStatus } from './node-status.ts';
import { operationMetrics } from './operation-metrics.ts';
import { servedServices } from './route-table.ts';

/** The CRI socket of a node, and its one admin page. */
export const service: ServiceDefinition = { name: 'gateway', start };

async function start({ config, bus, log, metrics }: ServiceContext): Promise<StartedService> {
  await using undo = new AsyncDisposableStack();
  if (config.admin.enabled) {
    // 25 MB: only where someone looks at the page.
    const { startAdminServer } = await import('./adapters/admin-http.ts');
    const { host, port } = config.admin;
    const admin = undo.use(
      await startAdminServer({ host, port, status: nodeStatus(bus, metrics) }),
    );
    log.info({ url: admin.url }, 'serving metrics and health');
  }
  const server = undo.use(
    await serveRoutes({
      socket: config.grpc.socket,
      maxMessageBytes: config.grpc.max_message_bytes,
      services: servedServices,
      routes: forward({ bus, counts: operationMetrics(metrics) }),
    }),
  );
  log.info({ socket: server.socket }, 'serving the CRI');
  const running = undo.move();
  return { handlers: new Map(), [Symbol.asyncDispose]: () => running.disposeAsync() };
}
