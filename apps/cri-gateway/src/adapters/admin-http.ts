import { RuntimeError } from '@gantry/errors';
import { fastify } from 'fastify';
import type { NodeStatus } from '../node-status.ts';

export interface AdminOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly status: NodeStatus;
}

export interface AdminServer extends AsyncDisposable {
  readonly url: string;
}

/**
 * Serves /metrics (Prometheus text of every instance on the node), /healthz
 * (the gateway lives) and /readyz (503 with reasons until every needed service
 * answers). Throws `failed-precondition` when the address is taken.
 */
export async function startAdminServer(options: AdminOptions): Promise<AdminServer> {
  const { host, port, status } = options;
  // Ten seconds to start, fastify's own limit, are not enough on a busy host.
  const app = fastify({ logger: false, forceCloseConnections: true, pluginTimeout: 0 });
  app.get('/metrics', async (_request, reply) => {
    const text = await status.metrics();
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(text);
  });
  app.get('/healthz', (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/readyz', async (_request, reply) => {
    const { isReady, lines } = await status.readiness();
    const text = [isReady ? 'ready' : 'not ready', ...lines].join('\n');
    return reply
      .code(isReady ? 200 : 503)
      .type('text/plain')
      .send(`${text}\n`);
  });
  const url = await listen(app, host, port);
  return { url, [Symbol.asyncDispose]: () => app.close() };
}

async function listen(
  app: { listen(o: { host: string; port: number }): Promise<string> },
  host: string,
  port: number,
): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (cause) {
    const isTaken = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE';
    throw new RuntimeError(
      'failed-precondition',
      isTaken
        ? `listen on ${host}:${port} for /metrics: another process has this port: set [admin] port in config.toml`
        : `listen on ${host}:${port} for /metrics`,
      isTaken ? {} : { cause },
    );
  }
}
