import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isKind } from '@gantry/errors';
import { parseBandwidth, parseQuantity } from './bandwidth.ts';

test('quantities are read as Kubernetes writes them', () => {
  const table: readonly [string, number | undefined][] = [
    ['10M', 10e6],
    ['1.5Gi', 1.5 * 1024 ** 3],
    ['2e6', 2e6],
    ['1E', 1e18],
    ['100', 100],
    ['.5k', 500],
    ['1500m', 2],
    ['1n', 1],
    ['-1k', -1000],
    ['10Mi', 10 * 1024 ** 2],
    ['', undefined],
    ['M', undefined],
    ['10 M', undefined],
    ['10mi', undefined],
    ['0x10', undefined],
    ['1e999', undefined],
  ];
  for (const [text, value] of table) {
    assert.equal(parseQuantity(text), value, text);
  }
});

test('the annotations set rates in bits per second, with no burst limit', () => {
  assert.deepEqual(
    parseBandwidth({
      'kubernetes.io/ingress-bandwidth': '10M',
      'kubernetes.io/egress-bandwidth': '1k',
    }),
    {
      ingressRate: 10_000_000,
      ingressBurst: 4_294_967_295,
      egressRate: 1000,
      egressBurst: 4_294_967_295,
    },
  );
  assert.equal(parseBandwidth({ other: 'x' }), undefined);
});

test('a rate that is no quantity or out of range is invalid', () => {
  for (const text of ['fast', '999', '1001P', '0']) {
    assert.throws(
      () => parseBandwidth({ 'kubernetes.io/egress-bandwidth': text }),
      (error: Error) => isKind(error, 'invalid-argument') && error.message.includes(text),
      text,
    );
  }
});
