import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Attributes, ROOT_CONTEXT, SpanKind, TraceFlags, trace } from '@opentelemetry/api';
import { SamplingDecision } from '@opentelemetry/sdk-trace';
import { PollSampler } from './poll-sampler.ts';

interface Setup {
  /** Says whether a span of this name is kept. */
  readonly keeps: (name: string, attributes?: Attributes, parentFlags?: TraceFlags) => boolean;
  readonly pass: (ms: number) => void;
}

function setup(followCaller = false): Setup {
  let nowMs = 0;
  const sampler = new PollSampler({ followCaller, now: () => nowMs });
  return {
    keeps: (name, attributes = {}, parentFlags) => {
      const context =
        parentFlags === undefined
          ? ROOT_CONTEXT
          : trace.setSpanContext(ROOT_CONTEXT, {
              traceId: 'a'.repeat(32),
              spanId: 'b'.repeat(16),
              traceFlags: parentFlags,
            });
      const { decision } = sampler.shouldSample(context, '', name, SpanKind.SERVER, attributes);
      return decision === SamplingDecision.RECORD_AND_SAMPLED;
    },
    pass: (ms) => {
      nowMs += ms;
    },
  };
}

const entry = { 'gantry.entry': true };

test('what changes something is always kept', () => {
  const { keeps } = setup();
  for (let i = 0; i < 500; i++) {
    assert.equal(keeps('runtime.v1.RuntimeService/RunPodSandbox', entry), true);
  }
});

test('polls are kept in a burst, then twice a second', () => {
  const { keeps, pass } = setup();
  const count = (calls: number): number =>
    Array.from({ length: calls }, () => keeps('runtime.v1.RuntimeService/Status', entry)).filter(
      Boolean,
    ).length;
  assert.equal(count(500), 50);
  pass(3000);
  assert.equal(count(500), 6);
});

test('a poll that failed is kept, and those of its name for half a minute', () => {
  const { keeps, pass } = setup();
  while (keeps('Status', entry)) {
    // Until the burst is used up.
  }
  assert.equal(keeps('Status', { ...entry, 'gantry.failed': true }), true);
  assert.equal(keeps('Status', entry), true);
  assert.equal(keeps('Version', entry), false);
  pass(30_001);
  while (keeps('Version', entry)) {
    // The time that has passed has filled the bucket again.
  }
  assert.equal(keeps('Status', entry), false);
});

test('spans inside a request follow its first span', () => {
  const { keeps } = setup();
  assert.equal(keeps('cni add', {}, TraceFlags.NONE), false);
  assert.equal(keeps('Status', {}, TraceFlags.SAMPLED), true);
});

test('a caller who records is followed; one who does not only where a backend gets the spans', () => {
  assert.equal(setup().keeps('StopContainer', entry, TraceFlags.NONE), true);
  assert.equal(setup(true).keeps('StopContainer', entry, TraceFlags.NONE), false);
  assert.equal(setup(true).keeps('Status', entry, TraceFlags.SAMPLED), true);
});
