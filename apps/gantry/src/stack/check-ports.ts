import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Config } from '@gantry/config';
import { RuntimeError } from '@gantry/errors';
import { hasCode } from '@gantry/host';
import { portOwner } from './port-owner.ts';

/** One address that the stack wants to listen on, and the key of the config that says so. */
export interface WantedPort {
  readonly key: string;
  readonly host: string;
  readonly port: number;
}

/** The fixed TCP ports of a stack; 0 means any and can't be in use. */
export function wantedPorts(config: Config): WantedPort[] {
  const ports: WantedPort[] = [];
  if (config.nats.url === '') {
    ports.push({ key: 'nats.port', host: config.nats.host, port: config.nats.port });
  }
  if (config.admin.enabled) {
    ports.push({ key: 'admin.port', host: config.admin.host, port: config.admin.port });
  }
  ports.push({ key: 'streaming.port', host: config.streaming.host, port: config.streaming.port });
  return ports.filter((wanted) => wanted.port !== 0);
}

/**
 * Throws `already-exists` when a port is in use, naming who has it and the key to change; so that
 * this is told before anything starts and not found in a log.
 */
export async function checkPorts(config: Config): Promise<void> {
  for (const { key, host, port } of wantedPorts(config)) {
    const server = createServer();
    try {
      server.listen({ host, port, exclusive: true });
      await once(server, 'listening');
    } catch (cause) {
      if (!hasCode(cause, 'EADDRINUSE')) {
        throw new RuntimeError('failed-precondition', `${key}: listen on ${host}:${port}`, {
          cause,
        });
      }
      const owner = await portOwner(port);
      throw new RuntimeError(
        'already-exists',
        `port ${port} is in use${owner === undefined ? '' : ` by ${owner}`}. Stop that, or set ${key} in the config file`,
      );
    } finally {
      server.close();
    }
  }
}
