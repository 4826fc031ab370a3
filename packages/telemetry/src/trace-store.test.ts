import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isReadOnly } from './read-only-method.ts';
import { readTraces } from './read-traces.ts';
import type { SpanRecord } from './span-record.ts';
import { traceFile } from './trace-file.ts';
import { openTraceStore, type TraceStore } from './trace-store.ts';

async function open(t: TestContext, keep: number): Promise<{ rootDir: string; store: TraceStore }> {
  const rootDir = await mkdtemp(join(tmpdir(), 'traces-'));
  const store = openTraceStore(traceFile(rootDir), keep);
  t.after(async () => {
    store[Symbol.dispose]();
    await rm(rootDir, { recursive: true, force: true });
  });
  return { rootDir, store };
}

let count = 0;

function span(name: string, over: Partial<SpanRecord> = {}): SpanRecord {
  const n = ++count;
  return {
    traceId: n.toString(16).padStart(32, '0'),
    spanId: n.toString(16).padStart(16, '0'),
    parentId: undefined,
    localRoot: true,
    name,
    service: 'gateway',
    instance: 'g',
    startUs: n * 1000,
    durationUs: 10,
    failed: false,
    message: '',
    attributes: {},
    ...over,
  };
}

function countByName(rootDir: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { roots } of readTraces({ rootDir, limit: 10_000 })) {
    const name = `${roots[0]?.name}${roots[0]?.failed === true ? ' failed' : ''}`;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

test('polls do not push out what changed something', async (t) => {
  const { rootDir, store } = await open(t, 100);
  store.add(Array.from({ length: 60 }, () => span('runtime.v1.RuntimeService/RunPodSandbox')));
  store.add(Array.from({ length: 500 }, () => span('runtime.v1.RuntimeService/ListContainers')));
  store.add(
    Array.from({ length: 500 }, () =>
      span('runtime.v1.RuntimeService/Status', { failed: true, message: 'NATS is away' }),
    ),
  );
  store.trim();
  assert.deepEqual(countByName(rootDir), {
    'runtime.v1.RuntimeService/RunPodSandbox': 60,
    'runtime.v1.RuntimeService/ListContainers': 10,
    'runtime.v1.RuntimeService/Status failed': 30,
  });
});

test('the newest traces stay', async (t) => {
  const { rootDir, store } = await open(t, 3);
  const spans = Array.from({ length: 8 }, () => span('StopContainer'));
  store.add(spans);
  store.trim();
  assert.deepEqual(
    readTraces({ rootDir }).map((trace) => trace.traceId),
    spans
      .slice(-3)
      .map((s) => s.traceId)
      .reverse(),
  );
});

test('a poll that belongs to a trace which changed something stays with it', async (t) => {
  const { rootDir, store } = await open(t, 10);
  const traceId = 'f'.repeat(32);
  store.add([span('RunPodSandbox', { traceId }), span('PodSandboxStatus', { traceId })]);
  store.add(Array.from({ length: 50 }, () => span('Version')));
  store.trim();
  assert.equal(readTraces({ rootDir, match: traceId })[0]?.roots.length, 2);
});

test('two processes add to one trace', async (t) => {
  const { rootDir, store } = await open(t, 10);
  using other = openTraceStore(traceFile(rootDir), 10);
  const root = span('RunPodSandbox', { startUs: 1000, durationUs: 9000 });
  other.add([
    span('serve RunPodSandbox', {
      traceId: root.traceId,
      parentId: root.spanId,
      service: 'sandbox',
      startUs: 2000,
    }),
  ]);
  store.add([root]);
  const [trace] = readTraces({ rootDir });
  assert.equal(trace?.durationMs, 9);
  assert.equal(trace.roots.length, 1);
  assert.equal(trace.roots[0]?.children[0]?.service, 'sandbox');
});

test('one trace can not grow without end', async (t) => {
  const { rootDir, store } = await open(t, 10);
  const traceId = 'e'.repeat(32);
  store.add(Array.from({ length: 2500 }, () => span('StopContainer', { traceId })));
  assert.equal(readTraces({ rootDir })[0]?.roots.length, 2000);
});

for (const [name, expected] of [
  ['runtime.v1.RuntimeService/Version', true],
  ['runtime.v1.RuntimeService/ListPodSandbox', true],
  ['runtime.v1.RuntimeService/PodSandboxStatus', true],
  ['runtime.v1.RuntimeService/ContainerStats', true],
  ['runtime.v1.ImageService/ImageFsInfo', true],
  ['runtime.v1.ImageService/PullImage', false],
  ['runtime.v1.RuntimeService/UpdateContainerResources', false],
  ['runtime.v1.RuntimeService/ExecSync', false],
  ['reconcile', false],
] as const) {
  test(`${name} ${expected ? 'only reads' : 'changes something'}`, () => {
    assert.equal(isReadOnly(name), expected);
  });
}
