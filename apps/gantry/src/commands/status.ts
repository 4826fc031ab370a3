import { isRunning } from '@gantry/host';
import type { Invocation } from '../invocation.ts';
import { table } from '../output/table.ts';
import { ago } from '../output/time.ts';
import { readStackState } from '../supervisor/stack-state.ts';

/** `gantry status`: the processes of the stack. Exit code 3 when it is not up, as of systemctl. */
export async function status(invocation: Invocation): Promise<number> {
  const config = invocation.config();
  const state = await readStackState(config);
  if (state === undefined || !(await isRunning(state.supervisor))) {
    invocation.out('Gantry is not running: start it with `gantry up`\n');
    return 3;
  }
  invocation.out(
    `Gantry is up since ${ago(state.startedAtMs)}, on ${config.grpc.socket}${state.compact ? ', in one process' : ''}\n`,
  );
  const rows = state.children.map((child) => [
    child.name,
    child.process === undefined ? 'waiting' : String(child.process.pid),
    String(child.starts - 1),
    child.lastExit ?? '',
  ]);
  invocation.out(table(['PROCESS', 'PID', 'RESTARTS', 'LAST EXIT'], rows));
  return 0;
}
