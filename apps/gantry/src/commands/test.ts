import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { failureText } from '../failure.ts';
import { flag, type Invocation, requireRoot } from '../invocation.ts';
import { duration } from '../output/progress.ts';
import { ensure, testNeeds, vmNeeds } from '../stack/packages.ts';
import { readCounts, totalsLine, totalsOf } from '../test-run/counts.ts';
import { type Stage, stages, vmStage } from '../test-run/stages.ts';

const root = join(import.meta.dirname, '../../../..');

/**
 * `gantry test [--vm] [STAGES...]`: its own set-up, then every stage until one fails; with --vm the
 * machine's alone, or after those named. The last line of its
 * output is `N passed, N failed, N skipped`, also then.
 */
export async function test(invocation: Invocation): Promise<number> {
  requireRoot('test');
  const withVm = flag(invocation, 'vm');
  const chosen = chooseStages(invocation.args, withVm);
  const { out, note, signal } = invocation;
  const countsDir = await mkdtemp(join(tmpdir(), 'gantry-counts-'));
  let exitCode = 0;
  try {
    await ensure(withVm ? [...testNeeds, ...vmNeeds] : testNeeds, { install: true, note, signal });
    for (const stage of chosen) {
      await timed(stage, out, () => stage.run({ root, countsDir, signal }));
    }
  } catch (error) {
    process.stderr.write(failureText(error));
    exitCode = 1;
  }
  const totals = totalsOf(readCounts(countsDir));
  await rm(countsDir, { recursive: true, force: true });
  out(`${totalsLine(totals)}\n`);
  return totals.failed > 0 ? 1 : exitCode;
}

function chooseStages(names: readonly string[], withVm: boolean): readonly Stage[] {
  const unknown = names.filter((name) => !stages.some((stage) => stage.name === name));
  if (unknown.length > 0) {
    const known = stages.map((stage) => stage.name).join(', ');
    throw new RuntimeError(
      'invalid-argument',
      `test ${unknown.join(' ')}: no such stage. There are: ${known}`,
    );
  }
  const named = stages.filter((stage) => names.includes(stage.name));
  if (withVm) {
    return names.length === 0 ? [vmStage] : [...named, vmStage];
  }
  return names.length === 0 ? stages : named;
}

async function timed(
  stage: Stage,
  out: (text: string) => void,
  work: () => Promise<void>,
): Promise<void> {
  const startedMs = performance.now();
  const took = (): string => duration(performance.now() - startedMs);
  out(`==> ${stage.name}: ${stage.about}\n`);
  try {
    await work();
    out(`==> ${stage.name}: passed in ${took()}\n`);
  } catch (cause) {
    throw new RuntimeError('failed-precondition', `test: ${stage.name} failed after ${took()}`, {
      cause,
    });
  }
}
