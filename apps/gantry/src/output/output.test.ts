import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsedInfo, withDates } from './format.ts';
import { duration, Progress } from './progress.ts';
import { humanSize, shortId } from './size.ts';
import { table } from './table.ts';
import { ago, agoNanos } from './time.ts';

test('columns are as wide as their widest cell, and lines have no trailing blanks', () => {
  assert.equal(
    table(
      ['ID', 'NAME'],
      [
        ['a', 'long name'],
        ['bbbb', ''],
      ],
    ),
    'ID    NAME\na     long name\nbbbb\n',
  );
  assert.equal(table(['ID'], []), 'ID\n');
});

test('what pods and images are called does not steer the terminal', () => {
  assert.equal(table(['N'], [['a\u001b[2Jb\nc']]), 'N\na?[2Jb?c\n');
});

test('times are told in their largest unit', () => {
  const now = 1_000_000_000;
  const cases: [number, string][] = [
    [0, 'now'],
    [1000, '1 second ago'],
    [59_999, '59 seconds ago'],
    [3_600_000, '1 hour ago'],
    [49 * 3_600_000, '2 days ago'],
    [-5000, 'now'],
  ];
  for (const [pastMs, text] of cases) {
    assert.equal(ago(now - pastMs, now), text);
  }
  assert.equal(agoNanos(0n), '');
  assert.equal(agoNanos(BigInt(now - 2000) * 1_000_000n, now), '2 seconds ago');
});

test('sizes have three digits', () => {
  const cases: [number, string][] = [
    [0, '0B'],
    [999, '999B'],
    [1000, '1.00kB'],
    [12_345, '12.3kB'],
    [123_456, '123kB'],
    [3_060_000, '3.06MB'],
    [5_000_000_000_000_000, '5000TB'],
  ];
  for (const [bytes, text] of cases) {
    assert.equal(humanSize(bytes), text);
  }
  assert.equal(shortId(`sha256:${'a'.repeat(64)}`), 'a'.repeat(13));
});

test('durations are told in a unit that a person reads', () => {
  assert.equal(duration(350), '350 ms');
  assert.equal(duration(2440), '2.4 s');
  assert.equal(duration(185_000), '3 min 5 s');
});

test('info that is JSON is shown as such, and other text as it is', () => {
  assert.deepEqual(parsedInfo({ info: '{"pid":7}', note: 'plain' }), {
    info: { pid: 7 },
    note: 'plain',
  });
});

test('nanoseconds become dates where they are asked for', () => {
  assert.deepEqual(
    withDates({ createdAt: '1500000000000000000', pid: '7', finishedAt: '0' }, [
      'createdAt',
      'finishedAt',
    ]),
    {
      createdAt: '2017-07-14T02:40:00.000Z',
      pid: '7',
      finishedAt: '',
    },
  );
});

test('a step that fails is told with its title, its cause and the advice', async () => {
  const lines: string[] = [];
  const progress = new Progress('demo', (text) => lines.push(text), 'Do this');
  assert.equal(await progress.step('first', () => Promise.resolve(5)), 5);
  const failing = progress.step('second', () => Promise.reject(new Error('no disk.')));
  await assert.rejects(failing, { message: 'demo: second: no disk. Do this' });
  assert.match(lines.join(''), /^==> first \.\.\.\n {4}done in \d+ ms\n==> second \.\.\.\n$/);
});
