import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CpuSamples } from './cpu-samples.ts';

const ms = (n: number): bigint => BigInt(n) * 1_000_000n;
const dayMs = 86_400_000;

/** The rate of one cgroup in thousandths of a core, from its age and the CPU time it has used. */
function meter(bornMs?: number) {
  const samples = new CpuSamples();
  return (atMs: number, usedMs: number): number | undefined => {
    const rate = samples.rateOf(
      'a',
      { usageNanos: ms(usedMs), atNanos: ms(atMs) },
      bornMs === undefined ? undefined : ms(bornMs),
    );
    return rate === undefined ? undefined : Number(rate) / 1_000_000;
  };
}

test('the first reading of a young cgroup gives its average since its birth', () => {
  const rate = meter(dayMs);
  assert.equal(rate(dayMs + 4000, 1000), 250);
  assert.equal(rate(dayMs + 6000, 2000), 500);
});

test('the first reading of an old cgroup gives nothing, the second one a rate', () => {
  const rate = meter(0);
  assert.equal(rate(dayMs, 50_000), undefined);
  assert.equal(rate(dayMs + 50, 50_050), undefined);
  assert.equal(rate(dayMs + 200, 50_100), 500);
});

test('readings close to each other get the same rate, and later ones lose nothing by it', () => {
  const rate = meter(0);
  rate(dayMs, 0);
  assert.equal(rate(dayMs + 10_000, 5000), 500);
  assert.equal(rate(dayMs + 10_300, 5300), 500);
  assert.equal(rate(dayMs + 12_000, 5800), 400);
});

test('a reading too long ago, or of more than now, is none to compare with', () => {
  const rate = meter();
  rate(dayMs, 0);
  assert.equal(rate(dayMs + 121_000, 5000), undefined);
  assert.equal(rate(dayMs + 122_000, 6000), 1000);
  assert.equal(rate(dayMs + 124_000, 10), undefined);
  assert.equal(rate(dayMs + 126_000, 1010), 500);
});

test('a clock that was set back costs one reading', () => {
  const rate = meter();
  rate(dayMs, 0);
  assert.equal(rate(dayMs + 10_000, 5000), 500);
  assert.equal(rate(dayMs - 3_600_000, 6000), undefined);
  assert.equal(rate(dayMs - 3_598_000, 7000), 500);
});
