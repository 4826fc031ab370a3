import { metricDescriptors } from '../pod-metrics/descriptors.ts';
import type { RuntimeMethod } from './handlers.ts';

/** A kubelet asks once, at its start. */
export const listMetricDescriptors: RuntimeMethod<'listMetricDescriptors'> = () =>
  Promise.resolve({ descriptors: metricDescriptors() });
