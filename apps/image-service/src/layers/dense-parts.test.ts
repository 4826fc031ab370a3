import assert from 'node:assert/strict';
import { test } from 'node:test';
import { denseLength, forDenseParts } from './dense-parts.ts';

function parts(bytes: Buffer, position: number): [start: number, end: number][] {
  const found: [number, number][] = [];
  forDenseParts(bytes, position, (start, end) => found.push([start, end]));
  return found;
}

/** Zeros, with one other byte at each of these places. */
function zerosBut(length: number, ...places: number[]): Buffer {
  const bytes = Buffer.alloc(length);
  for (const place of places) {
    bytes[place] = 1;
  }
  return bytes;
}

const cases: [name: string, bytes: Buffer, position: number, expected: [number, number][]][] = [
  ['nothing', Buffer.alloc(0), 0, []],
  ['a block of zeros', zerosBut(4096), 8192, []],
  ['less than a block of zeros', zerosBut(100), 5000, []],
  ['zeros from within a block to within another', zerosBut(12_288), 96, []],
  ['one byte at the end of a block', zerosBut(12_288, 8191), 0, [[4096, 8192]]],
  ['one byte within a block', zerosBut(12_288, 1024), 0, [[0, 4096]]],
  ['one byte at the end of what is before a block', zerosBut(8192, 3999), 96, [[0, 4000]]],
  ['one byte after the last block', zerosBut(8192, 8096), 96, [[8096, 8192]]],
  [
    'bytes on both sides',
    zerosBut(16_384, 0, 16_383),
    0,
    [
      [0, 4096],
      [12_288, 16_384],
    ],
  ],
  ['no zeros', Buffer.alloc(10_000, 1), 5, [[0, 10_000]]],
];
for (const [name, bytes, position, expected] of cases) {
  test(`the dense parts of ${name}, at ${position}`, () => {
    assert.deepEqual(parts(bytes, position), expected);
    const length = expected.reduce((sum, [start, end]) => sum + end - start, 0);
    assert.equal(denseLength(bytes, position), length);
  });
}
