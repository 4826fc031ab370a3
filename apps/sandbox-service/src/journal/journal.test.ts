import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openStore } from '@gantry/store';
import { migrations } from '../store/migrations.ts';
import { Journal } from './journal.ts';

async function openJournal(t: TestContext, keep?: number) {
  const directory = await mkdtemp(join(tmpdir(), 'journal-'));
  const store = openStore(join(directory, 'records.db'), { migrations });
  const journal = new Journal(store, {
    instance: 'one',
    ...(keep === undefined ? {} : { keep }),
  });
  t.after(async () => {
    journal[Symbol.dispose]();
    store[Symbol.dispose]();
    await rm(directory, { recursive: true });
  });
  return { journal, store };
}

test('an operation is open until it ends', async (t) => {
  const { journal } = await openJournal(t);
  const op = journal.begin('stop-pod-sandbox', 'a', 'a');
  assert.deepEqual(
    journal.open('a').map((o) => o.kind),
    ['stop-pod-sandbox'],
  );
  op.trail.begin('network').end('plugin failed');
  journal.end(op, 'failed', new Error('stop', { cause: new Error('plugin failed') }));
  assert.deepEqual(journal.open('a'), []);
  const record = journal.of('a').at(0);
  assert.equal(record?.outcome, 'failed');
  assert.equal(record.error, 'stop: plugin failed');
  assert.deepEqual(
    record.trail.map((mark) => mark.step),
    ['network'],
  );
});

test('the steps of a slow operation can be read while it hangs', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { journal } = await openJournal(t);
  const op = journal.begin('run-pod-sandbox', 'a', 'a');
  op.trail.begin('root').end();
  assert.deepEqual(journal.of('a').at(0)?.trail, []);
  t.mock.timers.tick(1000);
  op.trail.begin('network');
  assert.deepEqual(
    journal
      .of('a')
      .at(0)
      ?.trail.map((mark) => [mark.step, mark.tookMs === undefined]),
    [
      ['root', false],
      ['network', true],
    ],
  );
});

test('only the last operations are kept, and none that is open is dropped', async (t) => {
  const { journal, store } = await openJournal(t, 50);
  const open = journal.begin('create-container', 'open', 'pod');
  store.transaction(() => {
    for (let i = 0; i < 199; i += 1) {
      journal.end(journal.begin('start-container', 'c', 'pod'), 'done');
    }
  });
  assert.equal(journal.of('c').length, 50);
  assert.deepEqual(
    journal.open('pod').map((o) => o.id),
    [open.id],
  );
});
