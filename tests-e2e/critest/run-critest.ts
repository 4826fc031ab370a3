import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import type { CritestPrograms } from '../setup/critest.ts';
import { readReport, type SpecResult } from './report.ts';

export interface CritestRun {
  readonly programs: Pick<CritestPrograms, 'critest' | 'ginkgo'>;
  readonly socket: string;
  /** What the specs of exec, attach and port-forward speak. */
  readonly streams: 'spdy' | 'websocket';
  /** Where its log, report and temporary files go; made. */
  readonly dir: string;
  /** Specs that run at once; those marked Serial run alone behind them. */
  readonly processes: number;
  /** Regular expressions of ginkgo, any of which a spec's name must match. */
  readonly focus?: readonly string[];
}

const webSocketFlags = ['-websocket-exec', '-websocket-attach', '-websocket-portforward'];

/** Runs critest and gives what became of each spec. Throws where it left no report. */
export async function runCritest(run: CritestRun): Promise<readonly SpecResult[]> {
  const temp = join(run.dir, 'tmp');
  await mkdir(temp, { recursive: true });
  // The command takes a file for a built suite by its suffix.
  const suite = join(run.dir, 'critest.test');
  await symlink(run.programs.critest, suite);
  const log = createWriteStream(join(run.dir, 'critest.log'));
  const child = spawn(
    run.programs.ginkgo,
    [
      `--procs=${run.processes}`,
      '--json-report=report.json',
      `--output-dir=${run.dir}`,
      '--no-color',
      '--timeout=15m',
      ...(run.focus ?? []).map((focus) => `--focus=${focus}`),
      suite,
      '--',
      `-runtime-endpoint=unix://${run.socket}`,
      `-image-endpoint=unix://${run.socket}`,
      ...(run.streams === 'websocket' ? webSocketFlags : []),
      // A file of the host must not tell it another socket.
      '-config=/dev/null',
    ],
    { cwd: run.dir, env: { ...process.env, TMPDIR: temp }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  await once(child, 'close');
  log.end();
  await finished(log);
  return readReport(join(run.dir, 'report.json'));
}
