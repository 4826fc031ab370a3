import { kindOf, messageOf } from '@gantry/errors';
import {
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';

/** A span around one call, and the context that it is active in. */
export interface CallSpan {
  readonly context: Context;
  end(error?: unknown): void;
}

/**
 * Opens the caller's span and writes its trace context into `carrier`. Where no
 * span is active, a trace context that already is in the carrier is the parent.
 */
export function startClientSpan(
  service: string,
  method: string,
  carrier: Record<string, string>,
): CallSpan {
  let parent = context.active();
  if (trace.getSpan(parent) === undefined) {
    parent = propagation.extract(parent, carrier);
  }
  const span = isLeftOut(parent)
    ? { context: parent, end: () => undefined }
    : start(SpanKind.CLIENT, service, method, parent);
  propagation.inject(span.context, carrier);
  return span;
}

/** Opens the handler's span as a child of the caller's. */
export function startServerSpan(
  service: string,
  method: string,
  carrier: Record<string, string>,
): CallSpan {
  // Not the active context: a message is read in whatever context the connection was opened in.
  const parent = propagation.extract(ROOT_CONTEXT, carrier);
  return isLeftOut(parent)
    ? { context: parent, end: () => undefined }
    : start(SpanKind.SERVER, service, method, parent);
}

/**
 * Whether `parent` belongs to a trace that is not recorded: a span in it would
 * be thrown away, and making four of them costs more than a message.
 */
function isLeftOut(parent: Context): boolean {
  const spanContext = trace.getSpanContext(parent);
  return spanContext !== undefined && (spanContext.traceFlags & TraceFlags.SAMPLED) === 0;
}

function start(kind: SpanKind, service: string, method: string, parent: Context): CallSpan {
  const slash = method.indexOf('/');
  // Asked for each time: a tracer kept from before would go on feeding a provider that ended.
  const span = trace.getTracer('@gantry/bus').startSpan(
    method,
    {
      kind,
      attributes: {
        'rpc.system': 'gantry',
        'rpc.service': method.slice(0, Math.max(slash, 0)),
        'rpc.method': method.slice(slash + 1),
        'gantry.service': service,
      },
    },
    parent,
  );
  return {
    context: trace.setSpan(parent, span),
    end: (error) => {
      end(span, error);
    },
  };
}

function end(span: Span, error: unknown): void {
  if (error !== undefined) {
    span.setAttribute('error.type', kindOf(error));
    span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
  }
  span.end();
}
