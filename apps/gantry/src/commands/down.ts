import { messageOf } from '@gantry/errors';
import { flag, type Invocation, requireRoot } from '../invocation.ts';
import { removeAllPods } from '../stack/remove-all-pods.ts';
import { endStarts } from '../supervisor/starts.ts';
import { stopStack } from '../supervisor/stop-stack.ts';

/**
 * `gantry down`: stops what `gantry up` started, or is about to start. Pods keep running unless --pods; when
 * they can't be removed, the rest is stopped all the same, and the exit code is 1.
 */
export async function down(invocation: Invocation): Promise<number> {
  requireRoot('down');
  const config = invocation.config();
  let failures = 0;
  const starts = await endStarts(config);
  for (const { pid } of starts) {
    invocation.out(`interrupted the start that was under way (pid ${pid})\n`);
  }
  if (flag(invocation, 'pods')) {
    try {
      const removed = await removeAllPods(config, invocation.signal);
      invocation.out(`removed ${removed} ${removed === 1 ? 'pod' : 'pods'}\n`);
    } catch (error) {
      failures += 1;
      invocation.note(`gantry: remove all pods: ${messageOf(error)}`);
    }
  }
  const stopped = await stopStack(config);
  if (stopped.length > 0) {
    invocation.out(`stopped ${stopped.join(', ')}\n`);
  } else if (starts.length === 0) {
    invocation.out('Gantry is not running\n');
  }
  return failures;
}
