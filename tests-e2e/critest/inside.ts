/*
 * Runs critest against a stack for each combination, inside the namespaces that run.ts made.
 *
 *   node inside.ts [runc/pause ...] [--focus=REGEXP ...] [--procs=N]
 */
import { join } from 'node:path';
import { argv, env, exit, stdout } from 'node:process';
import { parseArgs } from 'node:util';
import { hostOf, leaks } from '../harness/host.ts';
import { type Registry, startRegistry } from '../harness/registry.ts';
import { runDir } from '../harness/run-dir.ts';
import { type Combination, combinations, nameOf, streamsOf } from './combination.ts';
import { countsOf, leaveCounts } from './counts.ts';
import { judge } from './expectations.ts';
import { runCritest } from './run-critest.ts';
import { startStackForCritest } from './stack-for-critest.ts';
import { type FinishedRun, failureText, tableOf } from './table.ts';

interface Prepared {
  readonly critest: string;
  readonly ginkgo: string;
  readonly layout: string;
  readonly images: readonly string[];
}

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    args: argv.slice(2),
    allowPositionals: true,
    options: {
      focus: { type: 'string', multiple: true, default: [] },
      procs: { type: 'string', default: '6' },
    },
  });
  const chosen = combinations.filter(
    (c) => positionals.length === 0 || positionals.includes(nameOf(c)),
  );
  const prepared = JSON.parse(env['GANTRY_E2E_CRITEST'] ?? '') as Prepared;
  await using registry = await startRegistry();
  for (const name of prepared.images) {
    // docker-registry knows no hosts: one stands in for all of them.
    await registry.push(`${prepared.layout}:${name}`, name.slice(name.indexOf('/') + 1));
  }
  const runs: FinishedRun[] = [];
  for (const combination of chosen) {
    stdout.write(`critest ${nameOf(combination)} ...\n`);
    const run = await runOne(combination, registry, prepared, values.focus, Number(values.procs));
    runs.push(run);
    for (const failure of run.verdict.failures) {
      stdout.write(failureText(failure));
    }
    for (const line of [...run.verdict.faults, ...run.verdict.notes]) {
      stdout.write(`critest ${run.name}: ${line}\n`);
    }
  }
  stdout.write(`\n${tableOf(runs)}\n`);
  leaveCounts(runs.map(countsOf));
  return runs.every((run) => run.verdict.faults.length === 0) ? 0 : 1;
}

async function runOne(
  combination: Combination,
  registry: Registry,
  programs: Prepared,
  focus: readonly string[],
  processes: number,
): Promise<FinishedRun> {
  const startedMs = performance.now();
  await using started = await startStackForCritest(combination, registry);
  const { stack } = started;
  const clean = await hostOf(stack);
  const dir = join(runDir(), `critest-${combination.runtime}-${combination.infra}`);
  const { socket } = stack;
  const streams = streamsOf(combination);
  const results = await runCritest({ programs, socket, streams, dir, processes, focus });
  const verdict = judge(results, combination, { isWhole: focus.length === 0 });
  const left = leaks(clean, await hostOf(stack));
  return {
    name: nameOf(combination),
    results,
    verdict: { ...verdict, faults: [...verdict.faults, ...left] },
    seconds: (performance.now() - startedMs) / 1000,
  };
}

exit(await main());
