import assert from 'node:assert/strict';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { StartGate } from './start-gate.ts';

function setUp() {
  const started = Promise.withResolvers<boolean>();
  return { gate: new StartGate(started.promise), started };
}

test('what comes before the start passes after it, in order', async () => {
  const { gate, started } = setUp();
  const through = text(gate);
  gate.write('one ');
  gate.write('two ');
  await new Promise(setImmediate);
  assert.equal(gate.words().toString(), 'one two ');
  started.resolve(true);
  gate.end('three');
  assert.equal(await through, 'one two three');
});

test('the start is noticed without another word', async () => {
  const { gate, started } = setUp();
  gate.write('prompt');
  await new Promise(setImmediate);
  started.resolve(true);
  const [chunk] = (await once(gate, 'data')) as [Buffer];
  assert.equal(chunk.toString(), 'prompt');
});

test('an end before the start waits for it', async () => {
  const { gate, started } = setUp();
  const through = text(gate);
  gate.end('all of it');
  await new Promise(setImmediate);
  started.resolve(true);
  assert.equal(await through, 'all of it');
});

test('the words of a runtime that never starts the process do not pass', async () => {
  const { gate, started } = setUp();
  const through = text(gate);
  gate.end('exec failed');
  started.resolve(false);
  assert.equal(await through, '');
  assert.equal(gate.words().toString(), 'exec failed');
});

test('no more than a little is held back', async () => {
  const { gate, started } = setUp();
  const piece = Buffer.alloc(16 << 10, 'x');
  let written = 0;
  while (gate.write(piece)) {
    written += 1;
    await new Promise(setImmediate);
    assert.ok(written < 20);
  }
  started.resolve(true);
  gate.end();
  assert.equal((await text(gate)).length, (written + 1) * piece.length);
});

test('the start of one that is closed is no matter', async () => {
  const { gate, started } = setUp();
  gate.write('unheard');
  gate.destroy();
  started.resolve(true);
  await new Promise(setImmediate);
  assert.equal(gate.destroyed, true);
});
