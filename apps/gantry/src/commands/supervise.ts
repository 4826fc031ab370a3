import { messageOf } from '@gantry/errors';
import { flag, type Invocation, requireRoot } from '../invocation.ts';
import { logReport, plainReport, type Report } from '../supervisor/report.ts';
import { runSupervisor } from '../supervisor/run-supervisor.ts';

/** `gantry supervise`: what `gantry up` leaves in the background, where its stderr is a log file. */
export async function supervise(invocation: Invocation): Promise<number> {
  const report = process.stderr.isTTY ? plainReport(toStderr) : logReport(toStderr);
  try {
    await superviseHere(invocation, report);
    return 0;
  } catch (error) {
    report('fatal', messageOf(error));
    return 1;
  }
}

/** The same for `gantry up --foreground`, where a person may watch. */
export async function superviseHere(
  invocation: Invocation,
  report: Report = plainReport(toStderr),
): Promise<void> {
  requireRoot('supervise');
  const config = invocation.config();
  await runSupervisor({
    config,
    configFile: invocation.configFile,
    compact: flag(invocation, 'compact') || config.services.compact,
    report,
    signal: invocation.signal,
  });
}

function toStderr(line: string): void {
  process.stderr.write(line);
}
