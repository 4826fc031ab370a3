import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Source, sourcesInOrder } from './place-descriptors.ts';

/** What a process has as 0, 1, 2, ... after these dup2 calls, where descriptor n of ours holds `n`. */
function after(sources: readonly Source[]): readonly string[] {
  const table = new Map<number, string>();
  for (const { from, to } of sourcesInOrder(sources)) {
    assert.notEqual(from, to);
    table.set(to, from === 'null' ? 'null' : (table.get(from) ?? String(from)));
  }
  return sources.map((_, fd) => table.get(fd) ?? '');
}

test('every source arrives, whatever numbers it has and however often it is named', () => {
  const table: readonly (readonly Source[])[] = [
    [],
    ['null', 'null', 'null'],
    ['null', 20, 21],
    [0, 1, 2],
    [2, 1, 0],
    [1, 2, 0, 3],
    ['null', 3, 4, 5, 2],
    [4, 3, 5, 1, 2],
    [1, 1, 1, 7, 7],
    ['null', 0, 0, 1],
  ];
  for (const sources of table) {
    assert.deepEqual(after(sources), sources.map(String), sources.join(' '));
  }
});
