import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { readReport, type SpecResult } from './report.ts';

export interface GinkgoRun {
  /** The command that runs specs in several processes. */
  readonly ginkgo: string;
  /** A built suite: what `go test -c` made. */
  readonly suite: string;
  /** What its log is called. */
  readonly name: string;
  /** Where its log, report and temporary files go, and where it runs; made. */
  readonly dir: string;
  /** Specs that run at once; those marked Serial run alone behind them. */
  readonly processes: number;
  readonly timeoutMinutes: number;
  /** Regular expressions of ginkgo, any of which a spec's name must match. */
  readonly focus?: readonly string[];
  /** Regular expressions of ginkgo, none of which a spec's name may match. */
  readonly skip?: readonly string[];
  /** Arguments of the suite itself. */
  readonly args: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
}

/** Runs a suite of ginkgo and gives what became of each spec. Throws where it left no report. */
export async function runGinkgo(run: GinkgoRun): Promise<readonly SpecResult[]> {
  const temp = join(run.dir, 'tmp');
  await mkdir(temp, { recursive: true });
  // The command takes a file for a built suite by its suffix.
  const suite = join(run.dir, `${run.name}.test`);
  await symlink(run.suite, suite);
  const log = createWriteStream(join(run.dir, `${run.name}.log`));
  const child = spawn(
    run.ginkgo,
    [
      `--procs=${run.processes}`,
      '--json-report=report.json',
      `--output-dir=${run.dir}`,
      '--no-color',
      `--timeout=${run.timeoutMinutes}m`,
      ...(run.focus ?? []).map((focus) => `--focus=${focus}`),
      ...(run.skip ?? []).map((skip) => `--skip=${skip}`),
      suite,
      '--',
      ...run.args,
    ],
    {
      cwd: run.dir,
      env: { ...process.env, ...run.environment, TMPDIR: temp },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  await once(child, 'close');
  log.end();
  await finished(log);
  return readReport(join(run.dir, 'report.json'));
}
