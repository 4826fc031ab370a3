import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageReader } from './message-reader.ts';
import { frame } from './testing-client.ts';

test('a message is the same wherever it is cut', () => {
  const whole = frame(Buffer.from('hello world'), 1);
  for (let size = 1; size <= whole.length; size++) {
    const reader = new MessageReader(100);
    for (let at = 0; at < whole.length; at += size) {
      reader.push(whole.subarray(at, at + size));
    }
    const { isCompressed, body } = reader.end();
    assert.equal(isCompressed, true);
    assert.equal(body.toString(), 'hello world', `in parts of ${size}`);
  }
});

test('a long message in many parts is put together', () => {
  const body = Buffer.alloc(1_000_003, 'gantry');
  const whole = frame(body);
  const reader = new MessageReader(body.length);
  for (let at = 0; at < whole.length; at += 7919) {
    reader.push(whole.subarray(at, at + 7919));
  }
  assert.ok(reader.end().body.equals(body));
});

test('a message of no bytes is a message', () => {
  const reader = new MessageReader(0);
  reader.push(frame(Buffer.alloc(0)));
  assert.equal(reader.end().body.length, 0);
});

const refused: readonly [string, readonly Uint8Array[], object][] = [
  ['nothing', [], { kind: 'unimplemented', message: /no message/ }],
  ['part of a prefix', [Buffer.alloc(3)], { kind: 'internal', message: /after 3 of 5 bytes/ }],
  [
    'a cut message',
    [frame(Buffer.alloc(9)).subarray(0, 8)],
    { kind: 'internal', message: /after 8 of 14 bytes/ },
  ],
  ['a strange flag', [Buffer.from([7])], { kind: 'internal', message: /byte 7/ }],
  [
    'a large message',
    [frame(Buffer.alloc(11)).subarray(0, 5)],
    { kind: 'resource-exhausted', message: /11 bytes is larger than max \(10 bytes\)/ },
  ],
  [
    'two messages in one part',
    [Buffer.concat([frame(Buffer.alloc(1)), frame(Buffer.alloc(1))])],
    { kind: 'unimplemented', message: /more than one/ },
  ],
  [
    'two messages in two parts',
    [frame(Buffer.alloc(1)), frame(Buffer.alloc(1))],
    { kind: 'unimplemented', message: /more than one/ },
  ],
];

for (const [what, parts, error] of refused) {
  test(`${what} is refused`, () => {
    const reader = new MessageReader(10);
    assert.throws(() => {
      for (const part of parts) {
        reader.push(Buffer.from(part));
      }
      reader.end();
    }, error);
  });
}
