import { RuntimeError } from '@gantry/errors';
import type { Paths } from '../paths.ts';
import type { Runtime } from '../ports.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly paths: Paths;
  readonly runtime: Pick<Runtime, 'reopenLog'>;
}

/** Called by a kubelet after it has moved the log away; the new file is there on return. */
export function reopenContainerLog(deps: Deps): RuntimeMethod<'reopenContainerLog'> {
  const { records, paths, runtime } = deps;
  return async ({ containerId }) => {
    const { id, phase, facts } = records.getContainer(containerId);
    if (phase !== 'running') {
      throw new RuntimeError(
        'failed-precondition',
        `reopen log of container ${id}: it is ${phase}`,
      );
    }
    if (facts.logPath !== undefined) {
      await runtime.reopenLog(paths.bundle(id), facts.logPath);
    }
    return {};
  };
}
