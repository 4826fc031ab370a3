import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runtimeWords } from './runtime-words.ts';

const cases: readonly [what: string, stderr: string, words: string][] = [
  [
    'runc',
    'time="2026-11-22T15:14:35Z" level=error msg="exec failed: exec: \\"nope\\": executable file not found in $PATH"\n',
    'exec failed: exec: "nope": executable file not found in $PATH',
  ],
  [
    'runc with warnings before it',
    'time="x" level=warning msg="old kernel"\ntime="x" level=error msg="no"\n',
    'no',
  ],
  ['runc with an escape that JSON has not', 'level=error msg="a\\x00"', '"a\\x00"'],
  ['JSON', '{"level":"error","msg":"no such file","time":"x"}\n', 'no such file'],
  ['crun', 'executable file `nope` not found\n\n', 'executable file `nope` not found'],
  [
    'crun on a terminal',
    '\u001b[1;31m2026-11-22T21:18:33.378299Z: executable file `nope` not found\u001b[0m\r\n',
    'executable file `nope` not found',
  ],
  ['several plain lines', 'one\ntwo\n', 'one; two'],
  ['JSON of another kind', '{"a":1}', '{"a":1}'],
  ['nothing', ' \n', ''],
];
for (const [what, stderr, words] of cases) {
  test(`what ${what} says`, () => {
    assert.equal(runtimeWords(stderr), words);
  });
}

test('a flood of words is cut', () => {
  assert.equal(runtimeWords('x'.repeat(100_000)).length, 4096);
});
