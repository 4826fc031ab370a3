import { readdirSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { Counter, Gauge, Registry } from 'prom-client';

/**
 * A metrics registry of one instance of a service: every series gets the
 * labels `service` and `instance`. It holds the usual process metrics, read
 * when they are scraped and never by a timer.
 */
export function newRegistry(owner: {
  readonly service: string;
  readonly instance: string;
}): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service: owner.service, instance: owner.instance });
  const gauge = (name: string, help: string, read: () => number | undefined): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        const value = read();
        if (value !== undefined) {
          this.set(value);
        }
      },
    });
  };

  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time spent, in seconds.',
    registers: [registry],
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  const startedAt = Math.round(Date.now() / 1000 - process.uptime());
  gauge(
    'process_start_time_seconds',
    'Start of the process, in seconds since 1970.',
    () => startedAt,
  );
  gauge('process_resident_memory_bytes', 'Resident memory, in bytes.', () =>
    process.memoryUsage.rss(),
  );
  gauge('process_open_fds', 'Open file descriptors.', countOpenFiles);
  gauge(
    'nodejs_heap_size_used_bytes',
    'Used bytes of the JavaScript heap.',
    () => process.memoryUsage().heapUsed,
  );
  let last = performance.eventLoopUtilization();
  gauge(
    'nodejs_eventloop_utilization',
    'Part of the time since the last scrape that the event loop was busy, 0 to 1.',
    () => {
      const now = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(now, last);
      last = now;
      return Number.isFinite(utilization) ? utilization : 0;
    },
  );
  return registry;
}

function countOpenFiles(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return undefined;
  }
}
