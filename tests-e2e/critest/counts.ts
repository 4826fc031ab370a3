import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { env } from 'node:process';
import type { FinishedRun } from './table.ts';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** A fault that no spec has, such as something left on the host, counts as a failed test; an expected failure as skipped. */
export function countsOf({ results, verdict }: FinishedRun): Counts {
  const passed = results.filter((r) => r.outcome === 'passed').length;
  const failed = verdict.faults.length;
  return { passed, failed, skipped: Math.max(0, results.length - passed - failed) };
}

/** Leaves the counts of runs where `gantry test` looks for them, as its reporter of node:test does. */
export function leaveCounts(runs: readonly Counts[]): void {
  const dir = env['GANTRY_TEST_COUNTS'];
  if (dir === undefined) {
    return;
  }
  for (const { passed, failed, skipped } of runs) {
    const tests = passed + failed + skipped;
    const counts = {
      cwd: import.meta.dirname,
      tests,
      passed,
      failed,
      skipped,
      cancelled: 0,
      todo: 0,
    };
    writeFileSync(join(dir, `${randomUUID()}.json`), JSON.stringify(counts));
  }
}
