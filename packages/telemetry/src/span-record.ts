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
/** Marks the span with which a request enters the node, and one that is made after its request has failed. */
export const entryAttribute = 'gantry.entry';
export const failedAttribute = 'gantry.failed';
// The bus names the service that is called: that of the span itself where the span is the answering side.
const calledServiceAttribute = 'gantry.service';

/**
 * Takes of a span that has just ended what is kept; `owner` is whose it is when
 * the span does not say, `endedUs` is now. The start is counted back from it: the
 * SDK cuts starts to milliseconds, which would draw short steps in the wrong order.
 */
export function toSpanRecord(
  span: ReadableSpan,
  endedUs: number,
  owner: { readonly service: string; readonly instance: string },
): SpanRecord {
  const { traceId, spanId } = span.spanContext();
  const {
    [ownerServiceAttribute]: ownerService,
    [ownerInstanceAttribute]: instance,
    [entryAttribute]: _entry,
    [failedAttribute]: _failed,
    ...attributes
  } = span.attributes;
  const called = span.kind === SpanKind.SERVER ? attributes[calledServiceAttribute] : undefined;
  const service = called ?? ownerService;
  const durationUs = toMicroseconds(span.duration);
  const parent = span.parentSpanContext;
  return {
    traceId,
    spanId,
    parentId: parent?.spanId,
    localRoot: parent === undefined || parent.isRemote === true,
    name: span.name,
    service: typeof service === 'string' ? service : owner.service,
    instance: typeof instance === 'string' ? instance : owner.instance,
    startUs: endedUs - durationUs,
    durationUs,
    failed: span.status.code === SpanStatusCode.ERROR,
    message: span.status.message ?? '',
    attributes,
  };
}

function toMicroseconds([seconds, nanos]: HrTime): number {
  return seconds * 1_000_000 + Math.round(nanos / 1000);
}
