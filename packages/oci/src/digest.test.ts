import assert from 'node:assert/strict';
import { test } from 'node:test';
import { algorithmOf, hexOf, parseDigest } from './digest.ts';

test('a digest is taken apart', () => {
  const digest = parseDigest(`sha512:${'0'.repeat(128)}`);
  assert.equal(algorithmOf(digest), 'sha512');
  assert.equal(hexOf(digest), '0'.repeat(128));
});

for (const text of [
  '',
  'sha256:',
  `sha256:${'A'.repeat(64)}`,
  `sha256:${'a'.repeat(63)}`,
  `md5:${'a'.repeat(32)}`,
  `sha256:${'a'.repeat(64)}\n`,
  `sha256:${'/'.repeat(64)}`,
]) {
  test(`${JSON.stringify(text.slice(0, 20))} of ${text.length} characters is no digest`, () => {
    assert.throws(() => parseDigest(text), { kind: 'invalid-argument' });
  });
}
