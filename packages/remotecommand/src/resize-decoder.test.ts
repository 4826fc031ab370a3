import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ResizeDecoder } from './resize-decoder.ts';

function decode(...pieces: readonly string[]): unknown[] {
  const decoder = new ResizeDecoder();
  return pieces.flatMap((piece) => decoder.push(Buffer.from(piece)));
}

describe('ResizeDecoder', () => {
  it('reads sizes one behind the other, cut anywhere', () => {
    const sizes = '{"Width":80,"Height":24}\n{"Width":132,"Height":43}{ "Height":1,"Width":2 } \n';
    const expected = [
      { width: 80, height: 24 },
      { width: 132, height: 43 },
      { width: 2, height: 1 },
    ];
    for (let at = 0; at <= sizes.length; at++) {
      assert.deepEqual(decode(sizes.slice(0, at), sizes.slice(at)), expected);
    }
  });

  it('takes keys of any case, as Go does and JavaScript clients rely on', () => {
    assert.deepEqual(decode('{"width":80,"HEIGHT":24,"other":"x"}'), [{ width: 80, height: 24 }]);
  });

  it('leaves out sizes below one cell', () => {
    assert.deepEqual(decode('{"Width":0,"Height":24}{"Width":80}{}'), []);
  });

  for (const bad of [
    'x',
    '[80,24]',
    '{"Width":"80","Height":24}',
    '{"Width":80.5,"Height":24}',
    '{"Width":-1,"Height":24}',
    '{"Width":65536,"Height":24}',
    '{"Width":{"a":1},"Height":24}',
    '{Width:80}',
    `{"${'x'.repeat(2000)}`,
  ]) {
    it(`refuses ${bad.slice(0, 40)}`, () => {
      assert.throws(() => decode(bad), { kind: 'invalid-argument' });
    });
  }
});
