import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { testTools, vmTools } from '@gantry/host/testing';
import { failureText } from '../failure.ts';
import { flag, type Invocation, requireRoot } from '../invocation.ts';
import { duration } from '../output/progress.ts';
import { ensure, toolNeed } from '../stack/packages.ts';
import { readCounts, totalsLine, totalsOf } from '../test-run/counts.ts';
import { type Stage, stages, stagesOnRequest } from '../test-run/stages.ts';

const root = join(import.meta.dirname, '../../../..');

/**
 * `gantry test [--vm] [--kubelet] [--conformance] [STAGES...]`: its own set-up, then every stage
 * until one fails; with such an option those alone, or after the stages named. The last line of its
 * output is `N passed, N failed, N skipped`, also then.
 */
export async function test(invocation: Invocation): Promise<number> {
  requireRoot('test');
  const onRequest = stagesOnRequest.filter(({ name }) => flag(invocation, name));
  const chosen = chooseStages(invocation.args, onRequest);
  const tools = onRequest.some(({ name }) => name === 'vm')
    ? [...testTools, ...vmTools]
    : testTools;
  const { out, note, signal } = invocation;
  const countsDir = await mkdtemp(join(tmpdir(), 'gantry-counts-'));
  let exitCode = 0;
  try {
    await ensure(tools.map(toolNeed), { install: true, note, signal });
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

function chooseStages(names: readonly string[], onRequest: readonly Stage[]): readonly Stage[] {
  const unknown = names.filter((name) => !stages.some((stage) => stage.name === name));
  if (unknown.length > 0) {
    const known = stages.map((stage) => stage.name).join(', ');
    throw new RuntimeError(
      'invalid-argument',
      `test ${unknown.join(' ')}: no such stage. There are: ${known}`,
    );
  }
  const named = stages.filter((stage) => names.includes(stage.name));
  return names.length === 0 && onRequest.length === 0 ? stages : [...named, ...onRequest];
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
