import type { Bus, ServiceName } from '@gantry/bus';
import { messageOf } from '@gantry/errors';
import { gatherHealth, gatherMetrics } from '@gantry/service-kit';
import { Gauge, mergeMetrics, type Registry } from '@gantry/telemetry';

const gatherMs = 2000;

/** Services without which the node can't run pods. */
const needed: readonly ServiceName[] = ['image', 'sandbox', 'stream'];
/** Services whose metrics are on the page. */
const scraped: readonly ServiceName[] = [...needed, 'nri'];

export interface Readiness {
  readonly isReady: boolean;
  /** One for each instance, and for each service that has none. */
  readonly lines: readonly string[];
}

/** What the admin page knows of the node, asked of every instance of every service. */
export interface NodeStatus {
  metrics(): Promise<string>;
  readiness(): Promise<Readiness>;
}

export function nodeStatus(bus: Pick<Bus, 'gather' | 'connected'>, own: Registry): NodeStatus {
  const instances = new Gauge({
    name: 'gantry_service_instances',
    help: 'Instances of a service that answered the last scrape.',
    labelNames: ['target'],
    registers: [own],
  });
  return {
    metrics: async () => {
      const texts = await Promise.all(
        scraped.map(async (service) => {
          // A service that is away leaves the page without its part, not without all.
          const found = await gatherMetrics(bus, service, gatherMs).catch(() => []);
          instances.set({ target: service }, found.length);
          return found;
        }),
      );
      return mergeMetrics([await own.metrics(), ...texts.flat()]);
    },
    readiness: async () => {
      if (!bus.connected) {
        return { isReady: false, lines: ['not ready: no connection to NATS'] };
      }
      const states = await Promise.all(needed.map((service) => stateOf(bus, service)));
      return {
        isReady: states.every(({ isReady }) => isReady),
        lines: states.flatMap(({ lines }) => lines),
      };
    },
  };
}

async function stateOf(bus: Pick<Bus, 'gather'>, service: ServiceName): Promise<Readiness> {
  try {
    const reports = await gatherHealth(bus, service, gatherMs);
    if (reports.length === 0) {
      return { isReady: false, lines: [`${service}: no instance answers`] };
    }
    return {
      isReady: reports.some(({ problem }) => problem === undefined),
      lines: reports.map(
        ({ instance, pid, problem }) =>
          `${service} ${instance} (pid ${pid}): ${problem === undefined ? 'ok' : problem}`,
      ),
    };
  } catch (error) {
    return { isReady: false, lines: [`${service}: ${messageOf(error)}`] };
  }
}
