import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RuntimeError } from '@gantry/errors';
import { rememberTargets } from './remember-targets.ts';

const { signal } = new AbortController();

function setUp() {
  const asked: string[] = [];
  const clock = { ms: 0 };
  const ended = new Set<string>();
  const targets = rememberTargets(
    {
      find: (id) => {
        asked.push(id);
        return ended.has(id)
          ? Promise.reject(new RuntimeError('failed-precondition', `container ${id}: exited`))
          : Promise.resolve({
              containerId: id.padEnd(8, '0'),
              runtimePath: '/runc',
              runtimeArgs: [],
              pid: 0,
              processJson: new Uint8Array(),
            });
      },
    },
    () => clock.ms,
  );
  return { targets, asked, clock, ended };
}

test('a container is asked for once a minute', async () => {
  const { targets, asked, clock } = setUp();
  const first = await targets.find('abcd0000', { signal });
  clock.ms = 59_999;
  assert.equal(await targets.find('abcd0000', { signal }), first);
  assert.deepEqual(asked, ['abcd0000']);
  clock.ms = 60_000;
  await targets.find('abcd0000', { signal });
  assert.deepEqual(asked, ['abcd0000', 'abcd0000']);
});

test('a prefix is asked for each time, and makes the full id known', async () => {
  const { targets, asked } = setUp();
  await targets.find('abcd', { signal });
  await targets.find('abcd', { signal });
  assert.equal((await targets.find('abcd0000', { signal })).containerId, 'abcd0000');
  assert.deepEqual(asked, ['abcd', 'abcd']);
});

test('one that has ended is forgotten when it is asked for afresh', async () => {
  const { targets, asked, ended } = setUp();
  await targets.find('abcd0000', { signal });
  ended.add('abcd0000');
  const notRunning = { kind: 'failed-precondition' };
  await assert.rejects(targets.find('abcd0000', { signal, fresh: true }), notRunning);
  await assert.rejects(targets.find('abcd0000', { signal }), notRunning);
  assert.equal(asked.length, 3);
});

test('no more than 512 are known, and the oldest go first', async () => {
  const { targets, asked } = setUp();
  const ids = Array.from({ length: 513 }, (_, i) => `c${String(i).padStart(7, '0')}`);
  for (const id of ids) {
    await targets.find(id, { signal });
  }
  asked.length = 0;
  await targets.find(ids[512] ?? '', { signal });
  await targets.find(ids[1] ?? '', { signal });
  assert.deepEqual(asked, []);
  await targets.find(ids[0] ?? '', { signal });
  assert.deepEqual(asked, [ids[0]]);
});
