import { kindOf, messageOf } from '@gantry/errors';
import { type Attributes, context, type Span, SpanStatusCode, trace } from '@opentelemetry/api';

/**
 * Runs `fn` as one span of the current trace, a child of the span that is
 * active. An error marks the span as failed, with its kind and message, and is
 * thrown on. Costs next to nothing while telemetry is not started.
 */
export function withSpan<T>(
  name: string,
  attributes: Attributes,
  fn: (span: Span) => Promise<T>,
): Promise<T> {
  return trace.getTracer('gantry').startActiveSpan(name, { attributes }, async (span) => {
    try {
      return await fn(span);
    } catch (error) {
      failSpan(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Marks `span` as failed because of `error`. */
export function failSpan(span: Span, error: unknown): void {
  span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
  span.setAttribute('error.type', kindOf(error));
}

/**
 * Runs `fn` as part of no trace: for what a request sets going and does not
 * wait for, which would else draw its trace out to whenever that comes.
 */
export function outsideTrace<T>(fn: () => T): T {
  return context.with(trace.deleteSpan(context.active()), fn);
}
