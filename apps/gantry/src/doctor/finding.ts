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

/** A table of all findings, then what to do, then the count. */
export function findingsText(findings: readonly Finding[]): string {
  const rows = findings.map(({ verdict, check, found }) => [verdict, check, found]);
  const fixes = findings
    .filter((f) => f.fix !== undefined)
    .map((f) => `  ${f.verdict}  ${f.check}: ${f.fix}\n`);
  const count = (verdict: Finding['verdict']): number =>
    findings.filter((f) => f.verdict === verdict).length;
  return [
    table(['', 'CHECK', 'FOUND'], rows),
    ...(fixes.length === 0 ? [] : ['\nTo do:\n', ...fixes]),
    `\n${count('ok')} ok, ${count('warn')} warnings, ${count('fail')} failures\n`,
  ].join('');
}
