import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Bus, type BusEvent, connectBus, type ServiceName } from '@gantry/bus';
import type { Config } from '@gantry/config';
import { messageOf } from '@gantry/errors';
import type { Logger } from '@gantry/telemetry';

const lookAgainMs = 500;
const sayAgainMs = 30_000;
const quietMs = 2000;

export interface ConnectOptions {
  readonly config: Config;
  readonly service: ServiceName;
  readonly instance: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** The address of the NATS server that `config` names. */
export function natsServers(config: Config): string {
  const { url, host, port } = config.nats;
  return url || `nats://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** The credential file of one service. */
export function credentialsFile(config: Config, service: ServiceName): string {
  return join(config.nats.credentials_dir, `${service}.json`);
}

/**
 * Connects to the bus, and waits for ever for what is not there yet: the
 * credential file, the server. The log says what it waits for. Rejects when
 * the credentials are refused or `signal` aborts.
 */
export async function connect(options: ConnectOptions): Promise<Bus> {
  const { config, service, instance, log, signal } = options;
  const servers = natsServers(config);
  const file = credentialsFile(config, service);
  // An operator's own server may ask for no credentials: then there is no file to wait for.
  const hasFile = config.nats.url === '' || (await exists(file));
  if (hasFile) {
    await saying(log, { file }, 'waiting for the NATS credentials: start `gantry up`', () =>
      waitForFile(file, signal),
    );
  }
  return saying(log, { servers }, 'waiting for NATS: is nats-server running?', () =>
    connectBus({
      node: config.node_name,
      service,
      instance,
      servers,
      signal,
      onEvent: (event) => {
        // What is closed on purpose is no loss.
        if (!signal.aborted) {
          tell(log, servers, event);
        }
      },
      ...(hasFile ? { credentialsFile: file } : {}),
    }),
  );
}

function tell(log: Logger, servers: string, event: BusEvent): void {
  if (event.type === 'error') {
    log.error({ servers, error: messageOf(event.error) }, 'bus');
  } else if (event.type === 'disconnected') {
    log.warn({ servers }, 'the connection to NATS is lost: trying again');
  } else {
    log.info({ servers }, 'connected to NATS');
  }
}

/** Repeats a log line while `work` takes long. */
async function saying<T>(
  log: Logger,
  fields: object,
  message: string,
  work: () => Promise<T>,
): Promise<T> {
  const done = new AbortController();
  const say = async (): Promise<void> => {
    for (let waitMs = quietMs; ; waitMs = sayAgainMs) {
      await sleep(waitMs, undefined, { signal: done.signal, ref: false });
      log.warn(fields, message);
    }
  };
  say().catch(() => undefined);
  try {
    return await work();
  } finally {
    done.abort();
  }
}

async function waitForFile(file: string, signal: AbortSignal): Promise<void> {
  while (!(await exists(file))) {
    await sleep(lookAgainMs, undefined, { signal });
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return false;
    }
    throw error;
  }
}
