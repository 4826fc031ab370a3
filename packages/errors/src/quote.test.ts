import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quote } from './index.ts';

test('a text is quoted, and cut where it is long', () => {
  assert.equal(quote('a"b\n'), '"a\\"b\\n"');
  assert.equal(quote('x'.repeat(100)).length, 102);
  assert.match(quote('x'.repeat(1000)), /^"x{100}"\.\.\. \(1000 letters\)$/);
});
