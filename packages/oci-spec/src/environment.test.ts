import assert from 'node:assert/strict';
import { test } from 'node:test';
import { environmentOf } from './environment.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const none = { tty: false, hostname: '', image: [], container: [] };

test('a missing PATH gets the usual one', () => {
  assert.deepEqual(environmentOf(none), [
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  ]);
});

test('the request overrides the image, and each name is told once', () => {
  const container = [
    { key: 'A', value: bytes('2') },
    { key: 'HOSTNAME', value: bytes('mine') },
    { key: 'B', value: bytes('x=y') },
  ];
  assert.deepEqual(
    environmentOf({ tty: true, hostname: 'web', image: ['PATH=/bin', 'A=1'], container }),
    ['PATH=/bin', 'TERM=xterm', 'HOSTNAME=mine', 'A=2', 'B=x=y'],
  );
});

test('entries of an image without name or value are left out', () => {
  assert.deepEqual(environmentOf({ ...none, image: ['PATH=/b', 'LONELY', '=x', 'E='] }), [
    'PATH=/b',
    'E=',
  ]);
});

test('a byte order mark in a value stays', () => {
  const value = Uint8Array.of(0xef, 0xbb, 0xbf, 0x61);
  assert.ok(environmentOf({ ...none, container: [{ key: 'X', value }] }).includes('X=\ufeffa'));
});

for (const [key, value] of [
  ['', 'x'],
  ['A=B', 'x'],
  ['A\0', 'x'],
  ['A', 'x\0y'],
] as const) {
  test(`${JSON.stringify(key)} with value ${JSON.stringify(value)} is refused`, () => {
    assert.throws(() => environmentOf({ ...none, container: [{ key, value: bytes(value) }] }), {
      kind: 'invalid-argument',
    });
  });
}
