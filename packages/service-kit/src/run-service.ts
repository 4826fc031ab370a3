import { parseArgs } from 'node:util';
import { loadConfig } from '@gantry/config';
import { messageOf } from '@gantry/errors';
import { createLogger, type Logger, startTelemetry } from '@gantry/telemetry';
import type { ServiceDefinition } from './service-definition.ts';
import { newInstance, startService } from './start-service.ts';

/**
 * Is the whole of a service's main.ts: reads `--config FILE`, starts telemetry
 * and the service, and stops it at SIGTERM or SIGINT (exit 0; at the second
 * signal at once). Whatever can't start or is never caught is logged: exit 1.
 */
export function runService(definition: ServiceDefinition): Promise<void> {
  return runServices([definition]);
}

/** As `runService`, with several services in this process, one bus connection each. */
export async function runServices(definitions: readonly ServiceDefinition[]): Promise<void> {
  const isShared = definitions.length > 1;
  const service = isShared ? 'compact' : (definitions[0]?.name ?? 'none');
  const instance = newInstance();
  const fallback = createLogger({ service, instance, level: 'info' });
  try {
    const config = loadConfig(configArgument());
    const log = createLogger({ service, instance, level: config.log.level });
    const stop = stopSignal(log);
    dieOfUncaught(log);

    await using stack = new AsyncDisposableStack();
    stack.use(await startTelemetry({ service, instance, config, log }));
    // One that can't start must not leave the others waiting for ever.
    const giveUp = new AbortController();
    const signal = AbortSignal.any([stop, giveUp.signal]);
    const starts = definitions.map(async (definition) => {
      try {
        const options = isShared ? { shared: true } : { instance, log };
        stack.use(await startService(definition, { config, signal, ...options }));
      } catch (error) {
        giveUp.abort();
        throw error;
      }
    });
    await Promise.allSettled(starts);
    if (!stop.aborted) {
      await Promise.all(starts);
    }
    if (!stop.aborted) {
      await new Promise((resolve) => {
        stop.addEventListener('abort', resolve);
      });
    }
  } catch (error) {
    fallback.fatal({ err: error }, `can not run: ${messageOf(error)}`);
    process.exitCode = 1;
  }
  // A socket or timer that something has forgotten must not keep a stopped service alive.
  process.exit();
}

function configArgument(): string | undefined {
  const { values } = parseArgs({ options: { config: { type: 'string' } } });
  return values.config;
}

/** Aborts at the first SIGTERM or SIGINT; the second ends the process. */
function stopSignal(log: Logger): AbortSignal {
  const controller = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted) {
      log.warn({ signal }, 'second signal: stopping at once');
      process.exit(1);
    }
    log.info({ signal }, 'stopping');
    controller.abort();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return controller.signal;
}

function dieOfUncaught(log: Logger): void {
  const die = (err: unknown): void => {
    log.fatal({ err }, 'uncaught error');
    process.exit(1);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
}
