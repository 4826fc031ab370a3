import type { SpecResult } from '../ginkgo/report.ts';
import type { Verdict } from './expectations.ts';

export interface FinishedRun {
  readonly name: string;
  readonly results: readonly SpecResult[];
  readonly verdict: Verdict;
  readonly seconds: number;
}

/** One line a run, with the counts of critest itself. */
export function tableOf(runs: readonly FinishedRun[]): string {
  const rows = runs.map((run) => [
    run.name,
    ...(['passed', 'failed', 'skipped'] as const).map((outcome) =>
      String(run.results.filter((r) => r.outcome === outcome).length),
    ),
    `${Math.round(run.seconds)} s`,
    run.verdict.faults.length === 0 ? 'as expected' : `${run.verdict.faults.length} faults`,
  ]);
  const all = [['critest', 'passed', 'failed', 'skipped', 'took', ''], ...rows];
  const widths = all.reduce<number[]>(
    (w, row) => row.map((c, i) => Math.max(w[i] ?? 0, c.length)),
    [],
  );
  return all
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

/** A failure as one reads it: what, where, why, and the last that the spec told. */
export function failureText(result: SpecResult): string {
  const told = result.output.trimEnd().split('\n').slice(-25);
  return [
    `--- ${result.name} (${result.seconds.toFixed(1)} s)`,
    `    at ${result.location}`,
    ...result.message.split('\n').map((line) => `    ${line}`),
    ...(told.join('') === '' ? [] : ['    it told last:', ...told.map((line) => `      ${line}`)]),
    '',
  ].join('\n');
}
