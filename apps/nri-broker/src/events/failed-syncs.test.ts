import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FailedSyncs } from './failed-syncs.ts';

test('each failure doubles the pause up to half a minute, and a success ends it', () => {
  const syncs = new FailedSyncs();
  const pauses = Array.from({ length: 8 }, () => {
    const pause = syncs.pauseMs('10-a');
    syncs.failed('10-a');
    return pause;
  });
  assert.deepEqual(pauses, [0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.equal(syncs.pauseMs('10-b'), 0);
  syncs.succeeded('10-a');
  assert.equal(syncs.pauseMs('10-a'), 0);
});

test('of plugins that call themselves anew each time the last ones alone are kept', () => {
  const syncs = new FailedSyncs();
  syncs.failed('10-old');
  for (let n = 0; n < 1000; n++) {
    syncs.failed(`10-${n}`);
  }
  assert.equal(syncs.pauseMs('10-old'), 0);
  assert.equal(syncs.pauseMs('10-999'), 1000);
});
