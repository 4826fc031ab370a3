import assert from 'node:assert/strict';
import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { testDir } from '../testing-dir.ts';
import { LogCutter, type LogEntry, parseLogLine, tailOf } from './cri-log.ts';
import { followLog, readLog } from './follow-log.ts';

const time = '2026-11-22T10:00:00.123456789+01:00';
const line = (text: string, tag = 'F', stream = 'stdout'): string =>
  `${time} ${stream} ${tag} ${text}\n`;
const texts = (entries: readonly LogEntry[]): string[] => entries.map((e) => e.content.toString());

test('a log line has a time, a stream, tags and the rest as it was written', () => {
  assert.deepEqual(parseLogLine(Buffer.from(`${line(' a  b ', 'P:x', 'stderr').trimEnd()} `)), {
    time,
    stream: 'stderr',
    partial: true,
    content: Buffer.from(' a  b '),
  });
  assert.equal(parseLogLine(Buffer.from(`${time} stdout F`)).content.length, 0);
  assert.throws(() => parseLogLine(Buffer.from('not a log line')), /no CRI log line: "not a log/);
});

test('lines are cut from chunks of any size', () => {
  const bytes = Buffer.from(line('one') + line('zwölf') + line('cut')).subarray(0, -4);
  for (const size of [1, 7, 1000]) {
    const cutter = new LogCutter();
    const entries: LogEntry[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      entries.push(...cutter.push(bytes.subarray(at, at + size)));
    }
    assert.deepEqual(texts(entries), ['one', 'zwölf']);
  }
});

test('the tail counts a line in parts as one', () => {
  const entries = [
    ...new LogCutter().push(
      Buffer.from(line('a') + line('b1', 'P') + line('b2', 'P') + line('b3') + line('c')),
    ),
  ];
  assert.deepEqual(texts(tailOf(entries, 1)), ['c']);
  assert.deepEqual(texts(tailOf(entries, 2)), ['b1', 'b2', 'b3', 'c']);
  assert.deepEqual(texts(tailOf(entries, 9)), texts(entries));
  assert.deepEqual(tailOf(entries, 0), []);
});

test('a log that is not there yet is empty', async (t) => {
  assert.deepEqual(await Array.fromAsync(readLog(join(testDir(t), 'none.log'))), []);
});

test('following goes over a rotation without a gap, and ends with the container', async (t) => {
  const dir = testDir(t);
  const path = join(dir, 'c.log');
  const steps = [
    () => writeFileSync(path, line('first')),
    () => appendFileSync(path, line('second')),
    () => renameSync(path, `${path}.1`),
    // The writer still has the old file open.
    () => appendFileSync(`${path}.1`, line('third')),
    () => {
      appendFileSync(`${path}.1`, line('fourth'));
      writeFileSync(path, line('fifth'));
    },
    () => appendFileSync(path, line('sixth')),
  ];
  // One step is done each time the reader has come to the end.
  const mayGrow = (): Promise<boolean> => {
    const step = steps.shift();
    step?.();
    return Promise.resolve(step !== undefined);
  };
  const signal = AbortSignal.timeout(20_000);
  const entries = await Array.fromAsync(followLog(path, { mayGrow, signal }));
  assert.equal(signal.aborted, false);
  assert.deepEqual(texts(entries), ['first', 'second', 'third', 'fourth', 'fifth', 'sixth']);
});

test('following ends when it is told to', async (t) => {
  const path = join(testDir(t), 'c.log');
  writeFileSync(path, line('one'));
  const controller = new AbortController();
  const seen: string[] = [];
  const options = { mayGrow: () => Promise.resolve(true), signal: controller.signal };
  for await (const entry of followLog(path, options)) {
    seen.push(entry.content.toString());
    controller.abort();
  }
  assert.deepEqual(seen, ['one']);
});
