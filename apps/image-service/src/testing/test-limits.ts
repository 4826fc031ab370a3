import type { LayerLimits } from '../layers/layer-limits.ts';

/** Limits that only `maxBytes`, and what else a test says, makes felt. */
export function testLimits(maxBytes: number, own: Partial<LayerLimits> = {}): LayerLimits {
  return {
    maxBytes,
    maxRatio: 1_000_000,
    ratioFromBytes: 1 << 30,
    maxEntries: 1_000_000,
    maxDepth: 10_000,
    maxHeaderBytes: 1 << 20,
    ...own,
  };
}
