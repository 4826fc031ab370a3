import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachLimited } from './limit.ts';
import { SharedWork } from './shared-work.ts';

const never = new AbortController().signal;

function controlled() {
  const done = Promise.withResolvers<string>();
  const signals: AbortSignal[] = [];
  const start = (signal: AbortSignal) => {
    signals.push(signal);
    signal.addEventListener('abort', () => done.reject(signal.reason as Error));
    return done.promise;
  };
  return { ...done, signals, start };
}

test('callers with one key share one run, and the next starts anew', async () => {
  const work = new SharedWork<string>();
  const { start, resolve, signals } = controlled();
  const both = [work.run('a', never, start), work.run('a', never, start)];
  resolve('x');
  assert.deepEqual(await Promise.all(both), ['x', 'x']);
  assert.equal(await work.run('a', never, () => Promise.resolve('y')), 'y');
  assert.equal(signals.length, 1);
});

test('a run is aborted when the last caller has left, not before', async () => {
  const work = new SharedWork<string>();
  const { start, signals } = controlled();
  const [one, two] = [new AbortController(), new AbortController()];
  const runs = [work.run('a', one.signal, start), work.run('a', two.signal, start)];
  one.abort();
  await assert.rejects(runs[0] ?? Promise.resolve(), { name: 'AbortError' });
  assert.equal(signals[0]?.aborted, false);
  two.abort();
  await assert.rejects(runs[1] ?? Promise.resolve(), { name: 'AbortError' });
  assert.equal(signals[0].aborted, true);
});

test('a failure reaches every caller and is not kept', async () => {
  const work = new SharedWork<string>();
  const { start, reject } = controlled();
  const both = [work.run('a', never, start), work.run('a', never, start)];
  reject(new Error('boom'));
  for (const result of await Promise.allSettled(both)) {
    assert.equal(result.status, 'rejected');
  }
  assert.equal(await work.run('a', never, () => Promise.resolve('y')), 'y');
});

test('no more than the limit run at once, and all run', async () => {
  let running = 0;
  let most = 0;
  const seen: number[] = [];
  await forEachLimited([1, 2, 3, 4, 5], 2, never, async (n) => {
    running += 1;
    most = Math.max(most, running);
    await Promise.resolve();
    seen.push(n);
    running -= 1;
  });
  assert.deepEqual([most, seen.toSorted((a, b) => a - b)], [2, [1, 2, 3, 4, 5]]);
});

test('the first failure stops the others and is what is thrown', async () => {
  const started: number[] = [];
  const run = forEachLimited([1, 2, 3], 2, never, async (n, signal) => {
    started.push(n);
    if (n === 2) {
      throw new Error('two');
    }
    await new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
  });
  await assert.rejects(run, /two/);
  assert.deepEqual(started, [1, 2]);
});
