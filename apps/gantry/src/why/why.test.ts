import assert from 'node:assert/strict';
import { test } from 'node:test';
import { advice } from './advice.ts';
import { type Explanation, explanationText } from './explanation.ts';

const operation = {
  kind: 'start-container',
  begunAt: '2026-11-22T10:00:00.000Z',
  endedAt: '2026-11-22T10:00:01.000Z',
  outcome: 'done',
  error: null,
  trail: [{ step: 'create', tookMs: 12.5 }],
};
const healthy: Explanation = {
  id: 'a'.repeat(64),
  kind: 'container',
  phase: 'running',
  operations: [operation],
};

test('what is well is said to be, with its steps', () => {
  const text = explanationText(healthy);
  assert.match(text, /^container a{13} is running: nothing failed\n/);
  assert.match(text, /start-container: done\n {4}create +12\.5 ms\n/);
});

test('a failed step is told with its reason and what to do', () => {
  const error = 'create: exec: "/nope": stat /nope: no such file or directory';
  const trail = [{ step: 'create', tookMs: 3, error }];
  const text = explanationText({
    ...healthy,
    kind: 'gone',
    operations: [operation, { ...operation, outcome: 'failed', error, trail }],
  });
  assert.match(
    text,
    /^a{13} is gone\n {2}why: {4}create: exec: "\/nope".*\n {2}to do: {2}the command is not in/,
  );
  assert.match(text, /create +3 ms {2}failed: create: exec/);
});

test('what failed and then went well is no trouble any more', () => {
  const failed = { ...operation, outcome: 'failed', error: 'start: no room' };
  assert.match(
    explanationText({ ...healthy, operations: [failed, operation] }),
    /is running: nothing failed/,
  );
  assert.match(
    explanationText({ ...healthy, operations: [operation, failed] }),
    /why: {4}start: no room/,
  );
  const stop = { ...failed, kind: 'stop-container', error: 'it does not end' };
  assert.match(explanationText({ ...healthy, operations: [stop] }), /why: {4}it does not end/);
  assert.match(
    explanationText({ ...healthy, phase: 'exited', operations: [stop] }),
    /is exited: nothing failed/,
  );
});

test('an operation that hangs is told with the step that it is at', () => {
  const hanging = { ...operation, outcome: null, endedAt: null, trail: [{ step: 'network' }] };
  assert.match(
    explanationText({ ...healthy, operations: [hanging] }),
    /start-container has not ended since .*: it is at network/,
  );
});

test('an operation whose process died is said to be repaired', () => {
  const repaired = { ...operation, outcome: 'repaired' };
  assert.match(
    explanationText({ ...healthy, operations: [repaired] }),
    /was cut off: its process died/,
  );
});

test('a process that ended badly is a reason, too', () => {
  const facts = { exitCode: 137, reason: 'OOMKilled', message: '' };
  const text = explanationText({ ...healthy, phase: 'exited', facts });
  assert.match(
    text,
    /ended with exit code 137 \(OOMKilled\)\n {2}to do: {2}it was killed, most often for memory/,
  );
});

test('there is advice for what is known, and none is made up', () => {
  assert.match(advice('write: no space left on device') ?? '', /disk is full/);
  assert.match(advice('cni ADD bridge: failed') ?? '', /network failed/);
  assert.equal(advice('the moon is full'), undefined);
});

const made = { ...operation, kind: 'create-container' };
const pod = (...containers: NonNullable<Explanation['containers']>): Explanation => ({
  id: 'b'.repeat(64),
  kind: 'sandbox',
  phase: 'ready',
  operations: [],
  containers,
});

test('a pod tells of its containers that are in trouble, and of no others', () => {
  const fine = { ...healthy, name: 'fine' };
  const hanging = { ...made, outcome: null, endedAt: null, trail: [{ step: 'plugins' }] };
  const slow = { ...healthy, name: 'slow', phase: 'creating', operations: [hanging] };
  assert.match(
    explanationText(pod(fine, slow)),
    /^pod b{13} is ready\n {2}container slow, a{13}, is creating\n {4}why: {4}create-container has not ended since .*: it is at plugins\n {4}to do: {2}an NRI plugin/,
  );
  const ended = { ...fine, name: 'bad', phase: 'exited', facts: { exitCode: 3 } };
  assert.match(explanationText(pod(fine, ended)), /container bad, .* is exited\n.*exit code 3/);
  assert.match(explanationText(pod(fine)), /^pod b{13} is ready: nothing failed\n/);
});

test('of containers that came to nothing a pod tells the last, until one is made', () => {
  const begun = (hour: number) => ({ ...made, begunAt: `2026-11-22T${hour}:00:00.000Z` });
  const gone = (error: string, hour: number) => ({
    ...healthy,
    kind: 'gone',
    operations: [{ ...begun(hour), outcome: 'failed', error }],
  });
  const text = explanationText(pod(gone('first', 10), gone('second', 11)));
  assert.match(text, /is ready\n {2}a container, a{13}, came to nothing\n {4}why: {4}second\n/);
  assert.doesNotMatch(text, /first/);
  const left = { ...gone('left over', 12), kind: 'container', name: 'half', phase: 'creating' };
  assert.equal(explanationText(pod(left)).match(/left over/g)?.length, 1);
  const later = { ...healthy, operations: [begun(12)] };
  assert.match(explanationText(pod(gone('first', 10), later)), /is ready: nothing failed/);
});
