import type { Telemetry, TelemetryOptions } from './telemetry-options.ts';

/**
 * Sets up tracing for this process: W3C trace context, the context that follows
 * async calls, the local trace database, and OTLP when an endpoint is
 * configured. One for a process: a second call while the first lives gets one
 * that does nothing. Faults of telemetry are logged once and never thrown.
 */
export async function startTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  // 15 MB and 80 ms: not for a command that only reads traces.
  const { openTracing } = await import('./open-tracing.ts');
  return openTracing(options);
}
