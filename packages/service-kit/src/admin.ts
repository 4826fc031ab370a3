import type { Bus, RawHandlers, ServiceName } from '@gantry/bus';
import { messageOf } from '@gantry/errors';
import type { Registry } from '@gantry/telemetry';

const metricsMethod = 'gantry.admin/Metrics';
const healthMethod = 'gantry.admin/Health';
const nothing = new Uint8Array();

/** What an instance says of itself. */
export interface HealthReport {
  readonly service: string;
  readonly instance: string;
  readonly pid: number;
  /** What is wrong with it; left out when nothing is. */
  readonly problem?: string;
}

export interface AdminOptions {
  readonly service: ServiceName;
  readonly instance: string;
  readonly metrics: Registry;
  readonly health: () => Promise<string | undefined>;
}

/** The methods that every instance of every service answers. */
export function adminHandlers(options: AdminOptions): RawHandlers {
  const { service, instance, metrics } = options;
  return new Map([
    [
      metricsMethod,
      { kind: 'unary', handle: async () => new TextEncoder().encode(await metrics.metrics()) },
    ],
    [
      healthMethod,
      {
        kind: 'unary',
        handle: async () => {
          const problem = await healthOf(options);
          const report: HealthReport = {
            service,
            instance,
            pid: process.pid,
            ...(problem === undefined ? {} : { problem }),
          };
          return new TextEncoder().encode(JSON.stringify(report));
        },
      },
    ],
  ]);
}

// A check that throws is an answer too.
async function healthOf(options: AdminOptions): Promise<string | undefined> {
  try {
    return await options.health();
  } catch (error) {
    return messageOf(error);
  }
}

/** Asks every instance of `service` for its metrics; those that answer within `timeoutMs`. */
export async function gatherMetrics(
  bus: Pick<Bus, 'gather'>,
  service: ServiceName,
  timeoutMs?: number,
): Promise<string[]> {
  const answers = await bus.gather(service, metricsMethod, nothing, limit(timeoutMs));
  return answers.map(({ body }) => new TextDecoder().decode(body));
}

/**
 * Asks every instance of `service` how it is; those that answer within
 * `timeoutMs`. A service answers only once it is ready, so that one report
 * without a problem means that the service can be used.
 */
export async function gatherHealth(
  bus: Pick<Bus, 'gather'>,
  service: ServiceName,
  timeoutMs?: number,
): Promise<HealthReport[]> {
  const answers = await bus.gather(service, healthMethod, nothing, limit(timeoutMs));
  return answers.map(({ body }) => JSON.parse(new TextDecoder().decode(body)) as HealthReport);
}

function limit(timeoutMs: number | undefined): { timeoutMs?: number } {
  return timeoutMs === undefined ? {} : { timeoutMs };
}
