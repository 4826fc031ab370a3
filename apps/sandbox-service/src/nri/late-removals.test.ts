import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Event } from '@gantry/proto/nri';
import { Paths } from '../paths.ts';
import { silent } from '../testing.ts';
import { LateRemovals } from './late-removals.ts';

test('a removal that comes just as the last one has been told is told too', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'late-'));
  t.after(() => rm(dir, { recursive: true }));
  const controller = new AbortController();
  t.after(() => {
    controller.abort();
  });
  const paths = new Paths({ root_dir: dir, state_dir: dir });
  const told: (string | undefined)[] = [];
  const both = Promise.withResolvers<void>();
  const keep = (id: string): Promise<void> =>
    late.keep({ event: Event.REMOVE_POD_SANDBOX, pod: { id } }, true);
  let isFirst = true;
  // It is let go when nothing was left at the last look.
  const lock = {
    [Symbol.asyncDispose]: async () => {
      if (isFirst) {
        isFirst = false;
        assert.deepEqual(await readdir(paths.pluginRemovals), []);
        await keep('second');
      }
    },
  };
  const late = new LateRemovals({
    paths,
    locks: { lock: () => Promise.resolve(lock), tryLock: () => lock },
    log: silent,
    signal: controller.signal,
    tell: ({ pod }) => {
      told.push(pod?.id);
      if (told.length === 2) {
        both.resolve();
      }
      return Promise.resolve();
    },
  });

  await keep('first');
  await both.promise;

  assert.deepEqual(told, ['first', 'second']);
});
