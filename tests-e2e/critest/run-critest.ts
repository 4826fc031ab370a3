import type { SpecResult } from '../ginkgo/report.ts';
import { runGinkgo } from '../ginkgo/run-ginkgo.ts';
import type { CritestPrograms } from '../setup/critest.ts';

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
export function runCritest(run: CritestRun): Promise<readonly SpecResult[]> {
  const { programs, socket, streams, dir, processes, focus = [] } = run;
  return runGinkgo({
    ginkgo: programs.ginkgo,
    suite: programs.critest,
    name: 'critest',
    dir,
    processes,
    timeoutMinutes: 15,
    focus,
    args: [
      `-runtime-endpoint=unix://${socket}`,
      `-image-endpoint=unix://${socket}`,
      ...(streams === 'websocket' ? webSocketFlags : []),
      // A file of the host must not tell it another socket.
      '-config=/dev/null',
    ],
  });
}
