import assert from 'node:assert/strict';
import { test } from 'node:test';
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { startTestNats } from './testing.ts';

const method = 'runtime.v1.RuntimeService/Version';
const empty = new Uint8Array(0);
const traceId = '0af7651916cd43dd8448eb211c80319c';

function recordSpans(t: { after(fn: () => void): void }): InMemorySpanExporter {
  const exporter = new InMemorySpanExporter();
  const spanProcessors = [new SimpleSpanProcessor(exporter)];
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors }));
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  t.after(() => {
    trace.disable();
    propagation.disable();
    context.disable();
  });
  return exporter;
}

test('caller, handler and what the handler asks share one trace', async (t) => {
  const exporter = recordSpans(t);
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  const image = await nats.connect('image');
  await image.serve(new Map([[method, { kind: 'unary', handle: (b) => Promise.resolve(b) }]]));
  await sandbox.serve(
    new Map([[method, { kind: 'unary', handle: (b) => sandbox.request('image', method, b) }]]),
  );

  await gateway.request('sandbox', method, empty, {
    carrier: { traceparent: `00-${traceId}-b7ad6b7169203331-01` },
  });

  const spans = exporter.getFinishedSpans();
  const chain = ['b7ad6b7169203331'];
  for (;;) {
    const child = spans.find((span) => span.parentSpanContext?.spanId === chain.at(-1));
    if (child === undefined) {
      break;
    }
    assert.equal(child.spanContext().traceId, traceId);
    assert.equal(child.name, method);
    chain.push(child.spanContext().spanId);
  }
  assert.equal(chain.length, 5);
  assert.deepEqual(
    chain.slice(1).map((id) => spans.find((s) => s.spanContext().spanId === id)?.kind),
    [SpanKind.CLIENT, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.SERVER],
  );
});

test('an active span is the parent of a call, and a failed call is an error', async (t) => {
  const exporter = recordSpans(t);
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const parent = trace.getTracer('test').startSpan('parent');

  await context.with(trace.setSpan(context.active(), parent), () =>
    assert.rejects(gateway.request('sandbox', method, empty)),
  );

  const [span] = exporter.getFinishedSpans();
  assert.equal(span?.parentSpanContext?.spanId, parent.spanContext().spanId);
  assert.equal(span.status.code, SpanStatusCode.ERROR);
  assert.equal(span.attributes['error.type'], 'unavailable');
});
