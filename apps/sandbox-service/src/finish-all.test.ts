import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finishAll } from './finish-all.ts';

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
