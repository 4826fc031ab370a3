import { type HrTime, SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';

/** One finished span as the trace database keeps it. */
export interface SpanRecord {
  /** 32 and 16 hex digits. */
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | undefined;
  /** The parent is of another process, or there is none: the first span of its process in this request. */
  readonly localRoot: boolean;
  readonly name: string;
  readonly service: string;
  readonly instance: string;
  /** Microseconds since 1970; the clock of the host. */
  readonly startUs: number;
  readonly durationUs: number;
  readonly failed: boolean;
  /** What went wrong; empty where nothing did. */
  readonly message: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** The span attributes that name a span's owner when several services share a process. */
export const ownerServiceAttribute = 'gantry.owner.service';
export const ownerInstanceAttribute = 'gantry.owner.instance';
// The bus names the service that is called: that of the span itself where the span is the answering side.
const calledServiceAttribute = 'gantry.service';

/** Takes of a finished span what is kept; `owner` is whose it is when the span does not say. */
export function toSpanRecord(
  span: ReadableSpan,
  owner: { readonly service: string; readonly instance: string },
): SpanRecord {
  const { traceId, spanId } = span.spanContext();
  const {
    [ownerServiceAttribute]: ownerService,
    [ownerInstanceAttribute]: instance,
    ...attributes
  } = span.attributes;
  const called = span.kind === SpanKind.SERVER ? attributes[calledServiceAttribute] : undefined;
  const service = called ?? ownerService;
  const parent = span.parentSpanContext;
  return {
    traceId,
    spanId,
    parentId: parent?.spanId,
    localRoot: parent === undefined || parent.isRemote === true,
    name: span.name,
    service: typeof service === 'string' ? service : owner.service,
    instance: typeof instance === 'string' ? instance : owner.instance,
    startUs: toMicroseconds(span.startTime),
    durationUs: toMicroseconds(span.duration),
    failed: span.status.code === SpanStatusCode.ERROR,
    message: span.status.message ?? '',
    attributes,
  };
}

function toMicroseconds([seconds, nanos]: HrTime): number {
  return seconds * 1_000_000 + Math.round(nanos / 1000);
}
