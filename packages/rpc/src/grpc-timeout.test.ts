import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseGrpcTimeout, startDeadline } from './grpc-timeout.ts';

const times: readonly [string, number][] = [
  ['2H', 7_200_000],
  ['3M', 180_000],
  ['10S', 10_000],
  ['250m', 250],
  ['1500u', 1.5],
  ['99999999n', 99.999999],
];

for (const [value, ms] of times) {
  test(`${value} is ${ms} ms`, () => {
    assert.ok(Math.abs(parseGrpcTimeout(value) - ms) < 1e-6);
  });
}

for (const value of ['', '1', 'S', '-1S', '1.5S', '123456789S', '1s', '1S ']) {
  test(`"${value}" is no time`, () => {
    assert.throws(() => parseGrpcTimeout(value), { kind: 'internal', message: /grpc-timeout/ });
  });
}

test('a deadline beyond the longest timer comes when it comes', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const expired: number[] = [];
  const deadlineMs = 5_000_000_000;
  startDeadline(deadlineMs, () => expired.push(Date.now()));
  for (let passedMs = 0; passedMs < deadlineMs; passedMs += 500_000_000) {
    assert.deepEqual(expired, []);
    t.mock.timers.tick(500_000_000);
  }
  assert.deepEqual(expired, [deadlineMs]);
});
