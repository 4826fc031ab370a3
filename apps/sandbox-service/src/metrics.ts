import { Gauge, type Registry } from '@gantry/telemetry';
import type { Records } from './store/records.ts';

/** Counts read from the records when they are scraped; the names are containerd's. */
export function registerMetrics(registry: Registry, records: Records): void {
  new Gauge({
    name: 'containerd_task_count',
    help: 'Running containers, pause containers included.',
    registers: [registry],
    collect() {
      this.set(records.containers.count().running + readyPods(records));
    },
  });
  new Gauge({
    name: 'containerd_container_count',
    help: 'Containers of any state, pause containers included.',
    registers: [registry],
    collect() {
      const { created, running, exited } = records.containers.count();
      this.set(created + running + exited + records.sandboxes.list().length);
    },
  });
}

function readyPods(records: Records): number {
  return records.sandboxes.list().filter((sandbox) => sandbox.phase === 'ready').length;
}
