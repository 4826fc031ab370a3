import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseReport } from './spawn-conmon.ts';

test('a report of conmon is a pid or the words of a failure', () => {
  const table: readonly [line: string, report: unknown][] = [
    ['{"data": 123}', { pid: 123 }],
    ['{"pid": 123}', { pid: 123 }],
    ['{"data": -1, "message": "runc: \\"x\\"\\nmore"}', { failure: 'runc: "x"\nmore' }],
    ['{"data": -1}', { failure: '' }],
    // A byte that conmon does not escape makes it no JSON.
    ['{"data": -1, "message": "a\u001fb"}', { failure: 'a\u001fb' }],
    ['garbage', { failure: 'garbage' }],
  ];
  for (const [line, report] of table) {
    assert.deepEqual(parseReport(line), report);
  }
});
