import assert from 'node:assert/strict';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { StartGate } from './start-gate.ts';

test('what comes before the start passes after it, in order', async () => {
  let isStarted = false;
  const gate = new StartGate(() => isStarted);
  const through = text(gate);
  gate.write('one ');
  gate.write('two ');
  await new Promise(setImmediate);
  assert.equal(gate.words().toString(), 'one two ');
  isStarted = true;
  gate.end('three');
  assert.equal(await through, 'one two three');
});

test('the start is noticed without another word', async () => {
  let isStarted = false;
  const gate = new StartGate(() => isStarted);
  gate.write('prompt');
  await new Promise(setImmediate);
  isStarted = true;
  const [chunk] = (await once(gate, 'data')) as [Buffer];
  assert.equal(chunk.toString(), 'prompt');
  gate.destroy();
});

test('the words of a runtime that never starts the process do not pass', async () => {
  const gate = new StartGate(() => false);
  const through = text(gate);
  gate.end('exec failed');
  assert.equal(await through, '');
  assert.equal(gate.words().toString(), 'exec failed');
});

test('no more than a little is held back', async () => {
  let isStarted = false;
  const gate = new StartGate(() => isStarted);
  const piece = Buffer.alloc(16 << 10, 'x');
  let written = 0;
  while (gate.write(piece)) {
    written += 1;
    await new Promise(setImmediate);
    assert.ok(written < 20);
  }
  isStarted = true;
  gate.end();
  assert.equal((await text(gate)).length, (written + 1) * piece.length);
});
