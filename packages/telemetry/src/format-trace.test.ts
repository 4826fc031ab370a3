import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTrace } from './format-trace.ts';
import type { SpanTree, TraceTree } from './read-traces.ts';

function span(
  name: string,
  startMs: number,
  durationMs: number,
  over: Partial<SpanTree> = {},
): SpanTree {
  return {
    spanId: name,
    name,
    service: 'sandbox',
    instance: 's1',
    startMs,
    durationMs,
    failed: false,
    message: '',
    attributes: {},
    children: [],
    ...over,
  };
}

const id = 'c0ffee'.padEnd(64, '0');

const trace: TraceTree = {
  traceId: 'a'.repeat(32),
  startMs: 1_700_000_000_000,
  durationMs: 200,
  failed: true,
  roots: [
    span('runtime.v1.RuntimeService/RunPodSandbox', 1_700_000_000_000, 200, {
      service: 'gateway',
      failed: true,
      message: 'run pod sandbox: cni add: plugin bridge: no such file',
      attributes: { 'rpc.method': 'RunPodSandbox' },
      children: [
        span('prepare root', 1_700_000_000_000, 50, { attributes: { 'container.id': id } }),
        span('cni add', 1_700_000_000_100, 100, {
          failed: true,
          message: 'plugin bridge: no such file',
          children: [span('bridge ADD', 1_700_000_000_199, 0.2)],
        }),
      ],
    }),
  ],
};

test('a trace is drawn as a waterfall', () => {
  assert.equal(
    formatTrace(trace, { width: 110 }),
    `RunPodSandbox  200 ms  failed  2023-11-14T22:13:20.000Z  trace ${'a'.repeat(32)}
RunPodSandbox   gateway  ████████████████████████████    200 ms
├ prepare root  sandbox  ███████                        50.0 ms  id=c0ffee0000000
└ cni add       sandbox                ██████████████    100 ms
    ! plugin bridge: no such file
  └ bridge ADD  sandbox                             ▏    0.2 ms
`,
  );
});

test('a request that did well in spite of a step did well', () => {
  const [root] = trace.roots;
  assert.ok(root !== undefined);
  const heading = (failed: boolean, isRootFailed: boolean): string => {
    const roots = [{ ...root, failed: isRootFailed }];
    return formatTrace({ ...trace, failed, roots }).split('  ')[2] ?? '';
  };
  assert.equal(heading(true, true), 'failed');
  assert.equal(heading(true, false), 'ok, though a step failed');
  assert.equal(heading(false, false), 'ok');
});

test('a request that is only sent on is one line', () => {
  const name = 'runtime.v1.RuntimeService/Version';
  const answer = span(name, 0, 1);
  const sent = span(name, 0, 2, { service: 'gateway', children: [answer] });
  const root = span(name, 0, 3, { service: 'gateway', children: [sent] });
  const text = formatTrace({ ...trace, startMs: 0, durationMs: 3, failed: false, roots: [root] });
  assert.deepEqual(
    text
      .split('\n')
      .slice(1)
      .map((line) => line.split(/ {2,}/).slice(0, 2)),
    [['Version', 'gateway'], ['└ Version', 'sandbox'], ['']],
  );
});

test('a narrow terminal cuts labels and leaves out notes', () => {
  const text = formatTrace(trace, { width: 60 });
  assert.equal(text.includes('c0ffee'), false);
  assert.match(text, /└ cni add/);
});

test('colour is asked for', () => {
  assert.equal(formatTrace(trace).includes('\u001b['), false);
  assert.ok(formatTrace(trace, { color: true }).includes('\u001b[31m'));
});
