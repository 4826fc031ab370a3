import { context, trace } from '@opentelemetry/api';
import { pino } from 'pino';

interface LogMethod {
  (fields: object, message?: string): void;
  (message: string): void;
}

/** Writes one JSON line for each call. Put an error under the key `err`: its causes are told too. */
export interface Logger {
  readonly trace: LogMethod;
  readonly debug: LogMethod;
  readonly info: LogMethod;
  readonly warn: LogMethod;
  readonly error: LogMethod;
  readonly fatal: LogMethod;
  /** A logger whose lines also have `fields`. */
  child(fields: Record<string, unknown>): Logger;
}

export interface LoggerOptions {
  readonly service: string;
  readonly instance: string;
  /** trace, debug, info, warn or error. */
  readonly level: string;
  /** Where lines go; stderr when left out. */
  readonly destination?: { write(line: string): void };
}

/**
 * A logger whose lines carry service, instance and the ids of the active span.
 * Lines go to stderr without blocking the service when the reader is slow (the
 * oldest 8 MB wait, then lines are dropped), and are flushed when the process
 * exits.
 */
export function createLogger(options: LoggerOptions): Logger {
  return pino(
    {
      level: options.level,
      base: { service: options.service, instance: options.instance },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      mixin: traceIds,
    },
    options.destination ?? pino.destination({ dest: 2, sync: false, maxLength: 8 << 20 }),
  );
}

function traceIds(): object {
  const span = trace.getSpanContext(context.active());
  return span === undefined ? {} : { trace_id: span.traceId, span_id: span.spanId };
}
