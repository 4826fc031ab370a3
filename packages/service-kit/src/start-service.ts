import { randomBytes } from 'node:crypto';
import type { Config } from '@gantry/config';
import { messageOf } from '@gantry/errors';
import { asOwner, createLogger, type Logger, newRegistry } from '@gantry/telemetry';
import { adminHandlers } from './admin.ts';
import { connect } from './connect.ts';
import type { ServiceDefinition } from './service-definition.ts';
import { type WatchedHandlers, watchHandlers } from './watch-handlers.ts';

const defaultDrainMs = 15_000;

export interface StartOptions {
  readonly config: Config;
  /** A name of its own when left out. */
  readonly instance?: string;
  readonly log?: Logger;
  /** Several services share this process: spans are made this service's own. */
  readonly shared?: boolean;
  /** How long requests may take to end when the service stops, in milliseconds; 15,000 when left out. */
  readonly drainMs?: number;
  /** Gives up waiting for the bus, and tells the service to stop. */
  readonly signal?: AbortSignal;
}

export interface RunningService extends AsyncDisposable {
  readonly name: string;
  readonly instance: string;
}

/** A short name for one run of a service. */
export function newInstance(): string {
  return randomBytes(4).toString('hex');
}

/**
 * Starts one service in this process: connects it to the bus, starts it, and
 * serves its methods and the kit's own. Telemetry is the caller's business.
 * Disposing of it takes no new requests, ends streams with `unavailable`, waits
 * for the unary calls in flight (at most `drainMs`, then they get it too), and
 * takes everything down in reverse. Rejects, with nothing left
 * behind, when the service can't start.
 */
export async function startService(
  definition: ServiceDefinition,
  options: StartOptions,
): Promise<RunningService> {
  const { config, instance = newInstance() } = options;
  const { name } = definition;
  const log = options.log ?? createLogger({ service: name, instance, level: config.log.level });
  const owner = options.shared === true ? { service: name, instance } : undefined;
  const stopping = new AbortController();
  const signal =
    options.signal === undefined
      ? stopping.signal
      : AbortSignal.any([options.signal, stopping.signal]);

  await using undo = new AsyncDisposableStack();
  const bus = undo.use(await connect({ config, service: name, instance, log, signal }));
  const metrics = newRegistry({ service: name, instance });
  const start = () => definition.start({ config, bus, log, metrics, instance, signal });
  const service = undo.use(await (owner === undefined ? start() : asOwner(owner, start)));
  const watched = watchHandlers(service.handlers, { log, ...(owner && { owner }) });
  const admin = adminHandlers({
    service: name,
    instance,
    metrics,
    health: () => service.health?.() ?? Promise.resolve(undefined),
  });
  const served = await bus.serve(new Map([...watched.handlers, ...admin]));
  undo.defer(() => drain(served, watched, options.drainMs ?? defaultDrainMs, log));
  undo.defer(() => {
    stopping.abort();
  });
  log.info({ pid: process.pid, methods: service.handlers.size }, 'ready');

  const running = undo.move();
  return {
    name,
    instance,
    [Symbol.asyncDispose]: async () => {
      await running.disposeAsync();
      log.info('stopped');
    },
  };
}

/** Ends the streams, and the unary calls that are not done in time. */
async function drain(
  served: AsyncDisposable,
  { streams, unary }: WatchedHandlers,
  limitMs: number,
  log: Logger,
): Promise<void> {
  streams.cutOff();
  const late = setTimeout(() => {
    log.warn({ limitMs }, 'requests still run: stopping without them');
    unary.cutOff();
  }, limitMs);
  try {
    await served[Symbol.asyncDispose]();
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'drain requests');
  } finally {
    clearTimeout(late);
  }
}
