import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROOT_CONTEXT, type Tracer } from '@opentelemetry/api';
import { TracerProvider } from '@opentelemetry/sdk-trace';
import type { SpanRecord } from './span-record.ts';
import { SpanWriter } from './span-writer.ts';

interface Setup {
  readonly writer: SpanWriter;
  readonly tracer: Tracer;
  readonly written: string[];
  readonly warnings: unknown[];
  /** The next so many batches fail. */
  readonly fail: (batches: number) => void;
  readonly opened: () => number;
}

function setup(): Setup {
  const written: string[] = [];
  const warnings: unknown[] = [];
  let failures = 0;
  let opened = 0;
  const writer = new SpanWriter({
    owner: { service: 'image', instance: 'i' },
    warn: (cause) => warnings.push(cause),
    open: () => {
      opened++;
      return Promise.resolve({
        add: (spans: readonly SpanRecord[]) => {
          if (failures > 0) {
            failures--;
            throw new Error('database is locked');
          }
          written.push(...spans.map((span) => span.name));
        },
        trim: () => undefined,
        [Symbol.dispose]: () => undefined,
      });
    },
  });
  return {
    writer,
    tracer: new TracerProvider({ spanProcessors: [writer] }).getTracer('test'),
    written,
    warnings,
    fail: (batches) => {
      failures = batches;
    },
    opened: () => opened,
  };
}

test('a batch that meets a busy database is written with the next one, in order', async () => {
  const { writer, tracer, written, warnings, fail } = setup();
  const span = (name: string): void => {
    tracer.startSpan(name, {}, ROOT_CONTEXT).end();
  };
  span('a');
  await writer.forceFlush();
  fail(2);
  span('b');
  await writer.forceFlush();
  span('c');
  await writer.forceFlush();
  assert.deepEqual(written, ['a']);
  await writer.forceFlush();
  assert.deepEqual(written, ['a', 'b', 'c']);
  assert.deepEqual(warnings, []);
});

test('a batch that meets a busy database is tried again when nothing more comes', async (t) => {
  const { tracer, written, fail } = setup();
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const settle = () => new Promise(setImmediate);
  tracer.startSpan('first', {}, ROOT_CONTEXT).end();
  t.mock.timers.tick(500);
  await settle();
  fail(2);
  tracer.startSpan('last', {}, ROOT_CONTEXT).end();
  for (let round = 0; round < 3; round += 1) {
    t.mock.timers.tick(500);
    await settle();
  }
  assert.deepEqual(written, ['first', 'last']);
});

test('a database that stays broken costs one warning, and is opened again', async () => {
  const { writer, tracer, written, warnings, fail, opened } = setup();
  fail(45);
  for (let i = 0; i < 45; i++) {
    tracer.startSpan(`lost ${i}`, {}, ROOT_CONTEXT).end();
    await writer.forceFlush();
  }
  tracer.startSpan('kept', {}, ROOT_CONTEXT).end();
  await writer.forceFlush();
  assert.equal(warnings.length, 1);
  assert.equal(written.at(-1), 'kept');
  assert.equal(opened(), 3);
});

test('the last spans are written when the database is busy at the stop', async () => {
  const { writer, tracer, written, fail } = setup();
  tracer.startSpan('first', {}, ROOT_CONTEXT).end();
  await writer.forceFlush();
  tracer.startSpan('last', {}, ROOT_CONTEXT).end();
  fail(3);
  await writer.shutdown();
  assert.deepEqual(written, ['first', 'last']);
});

test('what ends after the stop is dropped', async () => {
  const { writer, tracer, written } = setup();
  await writer.shutdown();
  tracer.startSpan('late', {}, ROOT_CONTEXT).end();
  await writer.forceFlush();
  assert.deepEqual(written, []);
});
