import {
  type Attributes,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  trace,
} from '@opentelemetry/api';
import { entryAttribute, failedAttribute } from './span-record.ts';
import { failSpan } from './with-span.ts';

/** The span of a request that came from elsewhere. */
export interface RemoteSpan {
  /** Runs `fn` inside the span. */
  run<T>(fn: () => T): T;
  /** Ends it; `error`, when given, is why it failed. */
  end(error?: unknown): void;
}

/** Opens the span of a request, as a child of the caller's span that `headers` name (W3C trace context). */
export function openRemoteSpan(
  name: string,
  attributes: Attributes,
  headers: Readonly<Record<string, string>>,
): RemoteSpan {
  const parent = propagation.extract(ROOT_CONTEXT, headers);
  const startTime = Date.now();
  const open = (more: Attributes): Span =>
    trace.getTracer('gantry').startSpan(
      name,
      {
        kind: SpanKind.SERVER,
        startTime,
        attributes: { ...attributes, [entryAttribute]: true, ...more },
      },
      parent,
    );
  const span = open({});
  const inside = trace.setSpan(parent, span);
  return {
    run: (fn) => context.with(inside, fn),
    end: (error) => {
      if (error === undefined) {
        span.end();
        return;
      }
      // A poll that was not worth a span is worth one now.
      const failed = span.isRecording() ? span : open({ [failedAttribute]: true });
      failSpan(failed, error);
      failed.end();
    },
  };
}
