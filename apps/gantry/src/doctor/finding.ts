import { table } from '../output/table.ts';

/** What a check of the host found. */
export interface Finding {
  readonly verdict: 'ok' | 'warn' | 'fail';
  readonly check: string;
  readonly found: string;
  /** What to do about it, in one line; absent when it is ok. */
  readonly fix?: string;
}

export const ok = (check: string, found: string): Finding => ({ verdict: 'ok', check, found });
export const warn = (check: string, found: string, fix: string): Finding => ({
  verdict: 'warn',
  check,
  found,
  fix,
});
export const fail = (check: string, found: string, fix: string): Finding => ({
  verdict: 'fail',
  check,
  found,
  fix,
});

/** A table of the findings, `quiet` only of those that are not ok; then what to do, then the count of all. */
export function findingsText(findings: readonly Finding[], quiet = false): string {
  const told = findings.filter(({ verdict }) => !quiet || verdict !== 'ok');
  const rows = told.map(({ verdict, check, found }) => [verdict, check, found]);
  const fixes = findings
    .filter((f) => f.fix !== undefined)
    .map((f) => `  ${f.verdict}  ${f.check}: ${f.fix}\n`);
  const count = (verdict: Finding['verdict']): number =>
    findings.filter((f) => f.verdict === verdict).length;
  return [
    ...(told.length === 0 ? [] : [table(['', 'CHECK', 'FOUND'], rows), '\n']),
    ...(fixes.length === 0 ? [] : ['To do:\n', ...fixes, '\n']),
    `${count('ok')} ok, ${counted(count('warn'), 'warning')}, ${counted(count('fail'), 'failure')}\n`,
  ].join('');
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
