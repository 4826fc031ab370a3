import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '@gantry/errors';
import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  loggingErrorHandler,
  setGlobalErrorHandler,
  W3CTraceContextPropagator,
} from '@opentelemetry/core';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type SpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { createLogger, type Logger } from './logger.ts';
import { PollSampler } from './poll-sampler.ts';
import { SpanWriter } from './span-writer.ts';
import type { Telemetry, TelemetryOptions } from './telemetry-options.ts';
import { traceFile } from './trace-file.ts';

const shutdownMs = 3000; // A backend that is away must not hold up a stop.

/** See startTelemetry. */
export async function openTracing(options: TelemetryOptions): Promise<Telemetry> {
  const { service, instance, config } = options;
  const log = options.log ?? createLogger({ service, instance, level: config.log.level });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': `gantry-${service}`,
      'service.instance.id': instance,
      'host.name': config.node_name,
    }),
    sampler: new PollSampler({ followCaller: config.tracing.otlp_endpoint !== '' }),
    spanLimits: { attributeValueLengthLimit: 4096 },
    spanProcessors: await spanProcessors(options, log),
  });
  if (!trace.setGlobalTracerProvider(provider)) {
    await within(shutdownMs, provider.shutdown()).catch(() => undefined);
    return { flush: () => Promise.resolve(), [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const manager = new AsyncLocalStorageContextManager().enable();
  context.setGlobalContextManager(manager);
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  const tell = tellOnce(log);
  setGlobalErrorHandler(tell);
  return {
    flush: () => within(shutdownMs, provider.forceFlush()).catch(tell),
    [Symbol.asyncDispose]: async () => {
      await within(shutdownMs, provider.shutdown()).catch(tell);
      setGlobalErrorHandler(loggingErrorHandler());
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
    processors.push(
      new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url: tracesUrl(endpoint) }) }),
    );
  }
  return processors;
}

/** As OTEL_EXPORTER_OTLP_ENDPOINT has it (OTLP exporter configuration): the path of traces may be left out. */
function tracesUrl(endpoint: string): string {
  const url = new URL(endpoint);
  return url.pathname === '/' ? new URL('v1/traces', url).href : endpoint;
}

function tellOnce(log: Logger): (error: unknown) => void {
  let isTold = false;
  return (error) => {
    if (!isTold) {
      isTold = true;
      const cause = error instanceof Error ? messageOf(error) : JSON.stringify(error);
      log.warn({ error: cause }, 'traces are not sent; this is told once');
    }
  };
}

/** Waits for `work`, and at most for so long. */
async function within(limitMs: number, work: Promise<void>): Promise<void> {
  const done = new AbortController();
  const late = sleep(limitMs, undefined, { signal: done.signal });
  try {
    await Promise.race([work, late]);
  } finally {
    done.abort();
    late.catch(() => undefined);
  }
}
