import type { PodMetricsReader } from '../pod-metrics/pod-metrics.ts';
import { byAge } from '../pods/pod-view.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly metricsReader: PodMetricsReader;
}

/** As ListPodSandboxMetrics, some pods a message (KEP-5825), each read when its turn has come. */
export function streamPodSandboxMetrics({
  records,
  metricsReader,
}: Deps): RuntimeMethod<'streamPodSandboxMetrics'> {
  return async function* () {
    const ready = records.sandboxes.list().filter(({ phase }) => phase === 'ready');
    const ordered = ready.toSorted(byAge);
    for (let at = 0; at < ordered.length; at += pageSize) {
      yield { podSandboxMetrics: await metricsReader.read(ordered.slice(at, at + pageSize)) };
    }
  };
}

// A container has about 10 kB of them.
const pageSize = 20;
