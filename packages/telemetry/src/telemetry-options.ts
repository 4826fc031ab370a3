import type { Logger } from './logger.ts';

/** The part of the config that telemetry reads. */
export interface TelemetryConfig {
  readonly node_name: string;
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
