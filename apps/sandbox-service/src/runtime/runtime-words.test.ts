import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runtimeWords } from './runtime-words.ts';

test('the error of a runtime is found in what it prints', () => {
  const table: readonly [output: string, words: string][] = [
    [
      'time="2026-11-22T14:52:21Z" level=error msg="runc create failed: exec: \\"/x\\": no such file"\n',
      'runc create failed: exec: "/x": no such file',
    ],
    ['time="t" level=warning msg="old kernel"\ntime="t" level=error msg=boom\n', 'boom'],
    ['cgroups in hybrid mode not supported\n', 'cgroups in hybrid mode not supported'],
    ['time="t" level=warning msg="w"\nplain words\r\n\tmore\n', 'plain words; more'],
    ['bad \u001b[31mred\u0007\n', 'bad [31mred'],
    ['', ''],
  ];
  for (const [output, words] of table) {
    assert.equal(runtimeWords(output), words);
  }
  assert.equal(runtimeWords('x'.repeat(5000)).length, 2000);
});
