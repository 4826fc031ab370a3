import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { kindOf, messageOf, RuntimeError } from '@gantry/errors';
import { type RunOptions, runSteps, type Step, undoSteps } from './steps.ts';
import { Trail } from './trail.ts';

/** Steps that write down what happens to them. `slow` ones end when told. */
function recorder() {
  const log: string[] = [];
  const step = (name: string, more: Partial<Step<object>> = {}): Step<object> => ({
    name,
    run: () => {
      log.push(name);
    },
    undo: () => {
      log.push(`undo ${name}`);
    },
    ...more,
  });
  const options = (more: Partial<RunOptions> = {}): RunOptions => ({
    operation: 'op',
    doing: 'do a thing',
    signal: new AbortController().signal,
    trail: new Trail(),
    faultPoint: (point) => {
      log.push(`[${point}]`);
    },
    ...more,
  });
  const events = () => log.filter((line) => !line.startsWith('['));
  return { log, step, options, events };
}

const fails = () => Promise.reject(new RuntimeError('resource-exhausted', 'disk full'));

test('steps run one after the other, each between its fault points', async () => {
  const { log, step, options } = recorder();
  await runSteps([step('a'), step('b')], {}, options());
  assert.deepEqual(log, ['[op:a]', 'a', '[op:a:done]', '[op:b]', 'b', '[op:b:done]']);
});

test('steps that do not wait for each other run together', async () => {
  const { step, options, events } = recorder();
  const gate = Promise.withResolvers<void>();
  const done = runSteps(
    [
      step('slow', { after: [], run: () => gate.promise }),
      step('beside', { after: [] }),
      step('after', { after: ['slow', 'beside'] }),
    ],
    {},
    options(),
  );
  await turn();
  assert.deepEqual(events(), ['beside']);
  gate.resolve();
  await done;
  assert.deepEqual(events(), ['beside', 'after']);
});

test('a failure names its step and keeps its kind, and what comes after does not run', async () => {
  const { step, options, events } = recorder();
  const steps = [step('a'), step('b', { run: fails }), step('c')];
  await assert.rejects(runSteps(steps, {}, options()), (error) => {
    assert.equal(messageOf(error), 'do a thing: b: disk full');
    assert.equal(kindOf(error), 'resource-exhausted');
    return true;
  });
  assert.deepEqual(events(), ['a']);
});

test('a failure aborts what runs beside it, and is told only when nothing runs any more', async () => {
  const { step, options } = recorder();
  let aborted = false;
  const waits = (_: object, signal: AbortSignal) =>
    new Promise<void>((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        aborted = true;
        reject(signal.reason as Error);
      });
    });
  const steps = [
    step('waits', { after: [], run: waits }),
    step('fails', { after: [], run: fails }),
  ];
  await assert.rejects(runSteps(steps, {}, options()), /fails/);
  assert.equal(aborted, true);
});

test('what tears down goes on beside a failure', async () => {
  const { step, options, events } = recorder();
  const steps = [
    step('fails', { after: [], run: fails }),
    step('next', { after: ['fails'] }),
    step('other', { after: [], run: () => turn() }),
    step('last', { after: ['other'] }),
  ];
  await assert.rejects(runSteps(steps, {}, options({ keepGoing: true })), /fails/);
  assert.deepEqual(events(), ['last']);
});

test('an abort by the caller stops before the next step', async () => {
  const { step, options, events } = recorder();
  const caller = new AbortController();
  const steps = [step('a', { run: () => caller.abort() }), step('b')];
  await assert.rejects(runSteps(steps, {}, options({ signal: caller.signal })), (error) => {
    assert.equal(kindOf(error), 'canceled');
    return true;
  });
  assert.deepEqual(events(), []);
});

test('an abort that comes after the last step changes nothing', async () => {
  const { step, options } = recorder();
  const caller = new AbortController();
  await runSteps(
    [step('a', { run: () => caller.abort() })],
    {},
    options({ signal: caller.signal }),
  );
});

test('undo runs backwards through every step, also past a failure', async () => {
  const { step, options, events } = recorder();
  const steps = [step('a'), step('b', { undo: fails }), step('c')];
  await assert.rejects(undoSteps(steps, {}, options()), /do a thing: undo b/);
  assert.deepEqual(events(), ['undo c', 'undo a']);
});

test('the trail has each step that was begun, with its time and its error', async () => {
  const { step, options } = recorder();
  const trail = new Trail();
  const steps = [step('a'), step('b', { run: fails }), step('c')];
  await assert.rejects(runSteps(steps, {}, options({ trail })));
  assert.deepEqual(
    trail.marks.map(({ step: name, error }) => [name, error]),
    [
      ['a', undefined],
      ['b', 'disk full'],
    ],
  );
  assert.ok(trail.marks.every(({ tookMs }) => tookMs !== undefined && tookMs >= 0));
});

test('a full disk is told as such, whoever says so and however deep', async () => {
  const { options } = recorder();
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
    code: 'ENOSPC',
  });
  const wrapped = new RuntimeError('internal', 'make log file', { cause: full });
  for (const cause of [full, wrapped]) {
    const fails = { name: 'a', run: () => Promise.reject(cause) };
    await assert.rejects(runSteps([fails], {}, options()), { kind: 'resource-exhausted' });
  }
  const broken = { name: 'a', run: () => Promise.reject(new Error('broken')) };
  await assert.rejects(runSteps([broken], {}, options()), { kind: 'internal' });
});
