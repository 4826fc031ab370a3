import type { PodMetricsReader } from '../pod-metrics/pod-metrics.ts';
import { byAge } from '../pods/pod-view.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly metricsReader: PodMetricsReader;
}

/** Of pods that are ready, with their running containers. */
export function listPodSandboxMetrics({
  records,
  metricsReader,
}: Deps): RuntimeMethod<'listPodSandboxMetrics'> {
  return async () => {
    const ready = records.sandboxes.list().filter(({ phase }) => phase === 'ready');
    return { podMetrics: await metricsReader.read(ready.toSorted(byAge)) };
  };
}
