import type { Logger } from './logger.ts';

/** The part of the config that telemetry reads. */
export interface TelemetryConfig {
  readonly root_dir: string;
  readonly log: { readonly level: string };
  readonly tracing: { readonly otlp_endpoint: string; readonly keep_traces: number };
}

export interface TelemetryOptions {
  readonly service: string;
  readonly instance: string;
  readonly config: TelemetryConfig;
  /** Where telemetry tells of its own faults; by default a logger of its own. */
  readonly log?: Logger;
}

export interface Telemetry extends AsyncDisposable {
  /** Writes out every span that has ended. Never rejects. */
  flush(): Promise<void>;
}

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
