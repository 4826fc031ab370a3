export { Counter, Gauge, Histogram, Registry } from 'prom-client';
export { type FormatOptions, formatTrace } from './format-trace.ts';
export { createLogger, type Logger, type LoggerOptions } from './logger.ts';
export { mergeMetrics } from './merge-metrics.ts';
export { readTraces, type SpanTree, type TraceQuery, type TraceTree } from './read-traces.ts';
export { newRegistry } from './registry.ts';
export { openRemoteSpan, type RemoteSpan } from './remote-span.ts';
export { asOwner, type SpanOwner } from './span-owner.ts';
export {
  startTelemetry,
  type Telemetry,
  type TelemetryConfig,
  type TelemetryOptions,
} from './start-telemetry.ts';
export { failSpan, withSpan } from './with-span.ts';
