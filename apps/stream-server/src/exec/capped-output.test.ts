import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { CappedOutput } from './capped-output.ts';

test('the first bytes are kept and the rest is read all the same', async () => {
  const stream = new PassThrough({ highWaterMark: 4 });
  const output = new CappedOutput(stream, 10);
  for (let i = 0; i < 100; i++) {
    stream.write('abcdefg');
  }
  stream.end();
  await output.ended;
  assert.equal(output.bytes().toString(), 'abcdefgabc');
});

test('what has come is there before the end', async () => {
  const stream = new PassThrough();
  const output = new CappedOutput(stream, 10);
  stream.write('ab');
  await new Promise(setImmediate);
  assert.equal(output.bytes().toString(), 'ab');
  output.close();
  await output.ended;
});

test('a stream that breaks has ended', async () => {
  const stream = new PassThrough();
  const output = new CappedOutput(stream, 10);
  stream.destroy(new Error('EIO'));
  await output.ended;
  assert.equal(output.bytes().length, 0);
});
