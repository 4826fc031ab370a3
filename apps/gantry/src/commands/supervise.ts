import { flag, type Invocation, requireRoot } from '../invocation.ts';
import { runSupervisor } from '../supervisor/run-supervisor.ts';

/** `gantry supervise`: what `gantry up` leaves in the background. */
export async function supervise(invocation: Invocation): Promise<void> {
  requireRoot('supervise');
  const config = invocation.config();
  await runSupervisor({
    config,
    configFile: invocation.configFile,
    compact: flag(invocation, 'compact') || config.services.compact,
    report: (text) => process.stderr.write(`${new Date().toISOString()} ${text}\n`),
    signal: invocation.signal,
  });
}
