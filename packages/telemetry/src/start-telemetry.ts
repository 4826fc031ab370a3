import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf } from '@gantry/errors';
import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type SpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { createLogger, type Logger } from './logger.ts';
import { PollSampler } from './poll-sampler.ts';
import { SpanWriter } from './span-writer.ts';
import { traceFile } from './trace-file.ts';

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
  const { service, instance, config } = options;
  const log = options.log ?? createLogger({ service, instance, level: config.log.level });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': `gantry-${service}`,
      'service.instance.id': instance,
    }),
    sampler: new PollSampler({ followCaller: config.tracing.otlp_endpoint !== '' }),
    spanLimits: { attributeValueLengthLimit: 4096 },
    spanProcessors: await spanProcessors(options, log),
  });
  if (!trace.setGlobalTracerProvider(provider)) {
    await provider.shutdown();
    return { flush: () => Promise.resolve(), [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const manager = new AsyncLocalStorageContextManager().enable();
  context.setGlobalContextManager(manager);
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  return {
    flush: () => quietly(provider.forceFlush()),
    [Symbol.asyncDispose]: async () => {
      await quietly(provider.shutdown());
      trace.disable();
      context.disable();
      propagation.disable();
    },
  };
}

async function spanProcessors(options: TelemetryOptions, log: Logger): Promise<SpanProcessor[]> {
  const { service, instance, config } = options;
  const { otlp_endpoint: endpoint, keep_traces: keep } = config.tracing;
  const processors: SpanProcessor[] = [];
  if (keep > 0) {
    const file = traceFile(config.root_dir);
    processors.push(
      new SpanWriter({
        owner: { service, instance },
        open: async () => {
          await mkdir(dirname(file), { recursive: true, mode: 0o700 });
          const { openTraceStore } = await import('./trace-store.ts');
          return openTraceStore(file, keep);
        },
        warn: (cause) => {
          log.warn({ file, error: messageOf(cause) }, 'traces are not kept: write trace database');
        },
      }),
    );
  }
  if (endpoint !== '') {
    // 20 MB and 200 ms: only for those who send traces away.
    const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
    processors.push(new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url: endpoint }) }));
  }
  return processors;
}

async function quietly(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch {
    // An exporter that can't reach its backend is no reason to fail a stop.
  }
}
