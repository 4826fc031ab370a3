import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quote, shownId } from './index.ts';

test('a text is quoted, and cut where it is long', () => {
  assert.equal(quote('a"b\n'), '"a\\"b\\n"');
  assert.equal(quote('x'.repeat(100)).length, 102);
  assert.match(quote('x'.repeat(1000)), /^"x{100}"\.\.\. \(1000 letters\)$/);
});

test('an id is shown as it is, what can be none is quoted', () => {
  assert.equal(shownId('0f'.repeat(32)), '0f'.repeat(32));
  assert.equal(shownId('web-1.x_y'), 'web-1.x_y');
  assert.equal(shownId(''), '""');
  assert.equal(shownId('a b\n'), '"a b\\n"');
  assert.ok(shownId('a'.repeat(1 << 20)).length < 150);
});
