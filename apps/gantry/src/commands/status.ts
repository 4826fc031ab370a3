import { isRunning } from '@gantry/host';
import type { Invocation } from '../invocation.ts';
import { table } from '../output/table.ts';
import { ago } from '../output/time.ts';
import { readStackState } from '../supervisor/stack-state.ts';
import { startsUnderWay } from '../supervisor/starts.ts';

/** As of systemctl. */
const notRunning = 3;

/** `gantry status`: the processes of the stack. Exit code 3 when it is not up. */
export async function status(invocation: Invocation): Promise<number> {
  const config = invocation.config();
  const state = await readStackState(config);
  const [start] = await startsUnderWay(config);
  if (start !== undefined) {
    invocation.out(`Gantry is being started, by pid ${start.pid}\n`);
  }
  if (state === undefined) {
    if (start !== undefined) {
      return notRunning;
    }
    invocation.out('Gantry is not running: start it with `gantry up`\n');
    return notRunning;
  }
  const isUp = await isRunning(state.supervisor);
  invocation.out(
    isUp
      ? `Gantry is up, started ${ago(state.startedAtMs)}, on ${config.grpc.socket}${state.compact ? ', in one process' : ''}\n`
      : 'The supervisor is dead: nothing below is started again when it ends. `gantry up` starts anew\n',
  );
  const rows = await Promise.all(
    state.children.map(async ({ name, process, starts, lastExit }) => [
      name,
      process !== undefined && (await isRunning(process)) ? String(process.pid) : 'not running',
      String(Math.max(0, starts - 1)),
      lastExit ?? '',
    ]),
  );
  invocation.out(table(['PROCESS', 'PID', 'RESTARTS', 'LAST EXIT'], rows));
  return isUp ? 0 : notRunning;
}
