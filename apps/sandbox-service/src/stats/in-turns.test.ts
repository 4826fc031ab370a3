import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InTurns } from './in-turns.ts';

/** Holds the event loop for longer than a turn may. */
function spin(): void {
  for (const end = performance.now() + 3; performance.now() < end; );
}

test('work is done in order, and each piece has its own result', async () => {
  const turns = new InTurns();
  const done: number[] = [];
  const results = [1, 2, 3].map((n) =>
    turns.run(() => {
      done.push(n);
      if (n === 2) {
        throw new Error('two');
      }
      return 10 * n;
    }),
  );
  const settled = await Promise.allSettled(results);
  assert.deepEqual(done, [1, 2, 3]);
  assert.deepEqual(
    settled.map((r) => (r.status === 'fulfilled' ? r.value : String(r.reason))),
    [10, 'Error: two', 30],
  );
});

test('what else is due has its turn before long work is done', async () => {
  const turns = new InTurns();
  const seen: string[] = [];
  const work = Array.from({ length: 4 }, (_, i) =>
    turns.run(() => {
      spin();
      seen.push(`piece ${i}`);
      if (i === 0) {
        setImmediate(() => seen.push('another'));
      }
    }),
  );
  await Promise.all(work);
  assert.deepEqual(seen, ['piece 0', 'another', 'piece 1', 'piece 2', 'piece 3']);
});

test('work that comes later is done too', async () => {
  const turns = new InTurns();
  assert.equal(await turns.run(() => 1), 1);
  assert.equal(await turns.run(() => 2), 2);
});
