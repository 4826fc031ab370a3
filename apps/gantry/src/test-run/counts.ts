import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a test run's summary says (node:test, event 'test:summary'), and where it ran. */
export interface RunCounts {
  readonly cwd: string;
  readonly tests: number;
  readonly passed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly skipped: number;
  readonly todo: number;
}

export interface Totals {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** The counts that the runs have left in `dir`. */
export function readCounts(dir: string): RunCounts[] {
  return readdirSync(dir).map(
    (name) => JSON.parse(readFileSync(join(dir, name), 'utf8')) as RunCounts,
  );
}

/** A test that was cancelled did not pass; one that is still to do proves nothing. */
export function totalsOf(runs: readonly RunCounts[]): Totals {
  const sum = (count: (run: RunCounts) => number): number =>
    runs.reduce((total, run) => total + count(run), 0);
  return {
    passed: sum((run) => run.passed),
    failed: sum((run) => run.failed + run.cancelled),
    skipped: sum((run) => run.skipped + run.todo),
  };
}

/** The line that ends the output of `gantry test`. */
export function totalsLine({ passed, failed, skipped }: Totals): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** The runs that executed no test: their pattern may match nothing. */
export function emptyRuns(runs: readonly RunCounts[]): string[] {
  return runs.filter((run) => run.tests === 0).map((run) => run.cwd);
}
