import { Counter, Gauge, Histogram, type Registry } from '@gantry/telemetry';
import { routeTable } from './route-table.ts';

/** What is counted of one operation. */
export interface OperationCounts {
  begin(): void;
  end(ms: number | undefined, failed: boolean): void;
}

const latencyBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120,
];

/**
 * The CRI metrics under the names and the label that dashboards for CRI
 * runtimes know. One set of series for each method, made once: looking labels
 * up costs more than counting.
 */
export function operationMetrics(registry: Registry): ReadonlyMap<string, OperationCounts> {
  const labelNames = ['operation_type'];
  const registers = [registry];
  const total = new Counter({
    name: 'container_runtime_cri_operations_total',
    help: 'CRI calls, by RPC.',
    labelNames,
    registers,
  });
  const errors = new Counter({
    name: 'container_runtime_cri_operations_errors_total',
    help: 'CRI calls that ended with an error, by RPC.',
    labelNames,
    registers,
  });
  const latency = new Histogram({
    name: 'container_runtime_cri_operations_latency_seconds',
    help: 'How long unary CRI calls took, in seconds, by RPC.',
    labelNames,
    registers,
    buckets: latencyBuckets,
  });
  const inFlight = new Gauge({
    name: 'gantry_gateway_calls_in_flight',
    help: 'CRI calls that have not been answered yet.',
    registers,
  });
  const running = inFlight.labels();
  return new Map(
    [...routeTable]
      .filter(([, { isCri }]) => isCri)
      .map(([method, { operation }]) => {
        const label = { operation_type: operation };
        const [calls, failures, times] = [
          total.labels(label),
          errors.labels(label),
          latency.labels(label),
        ];
        return [
          method,
          {
            begin: () => {
              running.inc();
              calls.inc();
              failures.inc(0); // A series that is first seen at 1 has no rate.
            },
            end: (ms, failed) => {
              running.dec();
              if (failed) {
                failures.inc();
              }
              if (ms !== undefined) {
                times.observe(ms / 1000);
              }
            },
          },
        ];
      }),
  );
}
