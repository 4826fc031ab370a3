import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finishAll, finishEach } from './finish-all.ts';

test('the first failure is thrown, and not before the rest has ended', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const state = { settled: false };
  const all = finishAll([
    promise,
    Promise.reject(new Error('first')),
    Promise.reject(new Error('second')),
  ]).finally(() => {
    state.settled = true;
  });
  const outcome = assert.rejects(all, /first/);
  await new Promise(setImmediate);
  assert.equal(state.settled, false);
  resolve();
  await outcome;
});

test('many things are done a few at a time, and a failure keeps none from being done', async () => {
  const now = { running: 0, most: 0, done: 0 };
  const work = async (item: number) => {
    now.running += 1;
    now.most = Math.max(now.most, now.running);
    await new Promise(setImmediate);
    now.running -= 1;
    now.done += 1;
    if (item === 3) {
      throw new Error('the third');
    }
  };
  await assert.rejects(
    finishEach(
      Array.from({ length: 100 }, (_, i) => i),
      work,
    ),
    /the third/,
  );
  assert.deepEqual(now, { running: 0, most: 8, done: 100 });
});
