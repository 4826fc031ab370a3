import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RuntimeError } from '@gantry/errors';
import { encodeMessage, statusTrailers } from './status-trailers.ts';

const encodings: readonly [string, string][] = [
  ['', ''],
  ['x', 'x'],
  ['pull "a/b:1": no such image', 'pull "a/b:1": no such image'],
  ['100% of /', '100%25 of /'],
  ['a\nb', 'a%0Ab'],
  [' a b ', '%20a b%20'],
  ['bücher', 'b%C3%BCcher'],
  ['👍', '%F0%9F%91%8D'],
  ['\ud800', '%EF%BF%BD'],
];

for (const [plain, encoded] of encodings) {
  test(`${JSON.stringify(plain)} is sent as ${JSON.stringify(encoded)}`, () => {
    assert.equal(encodeMessage(plain), encoded);
  });
}

test('a long message is cut between characters', () => {
  for (const char of ['x', 'ü', '👍']) {
    const sent = encodeMessage(char.repeat(100_000));
    assert.ok(sent.length < 13_000 && sent.length > 12_000, `${sent.length} bytes`);
    assert.match(decodeURIComponent(sent), new RegExp(`^(?:${char})+ \\(cut\\)$`));
  }
});

test('an error is told by its code and every message', () => {
  const error = new RuntimeError('not-found', 'list', { cause: new Error('disk gone') });
  assert.deepEqual(statusTrailers(error), {
    'grpc-status': '5',
    'grpc-message': 'list: disk gone',
  });
});
