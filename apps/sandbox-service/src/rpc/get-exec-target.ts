import { RuntimeError } from '@gantry/errors';
import type { Handlers } from '../handlers.ts';
import type { Paths } from '../paths.ts';
import { readSpec } from '../pods/pod-steps.ts';
import { runtimeRootOf } from '../runtime/oci-command.ts';
import type { Records } from '../store/records.ts';
import type { TargetsMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly paths: Paths;
  readonly handlers: Handlers;
  readonly stateDir: string;
}

/** What stream-server needs to run a command beside a container's first process. */
export function getExecTarget(deps: Deps): TargetsMethod<'getExecTarget'> {
  const { records, paths, handlers, stateDir } = deps;
  return async ({ containerId }) => {
    const { id, sandboxId, phase, facts } = records.getContainer(containerId);
    if (phase !== 'running') {
      throw new RuntimeError('failed-precondition', `container ${id}: it is ${phase}, not running`);
    }
    const spec = await readSpec(paths, id);
    if (spec === undefined) {
      throw new RuntimeError('internal', `container ${id}: its config.json is gone`);
    }
    const handler = handlers.get(facts.handler);
    return {
      containerId: id,
      podSandboxId: sandboxId,
      runtimePath: handler.path,
      runtimeArgs: [
        `--root=${runtimeRootOf(stateDir, handler.name)}`,
        ...(handler.systemdCgroup ? ['--systemd-cgroup'] : []),
      ],
      processJson: Buffer.from(JSON.stringify(spec.process)),
      pid: facts.init?.pid ?? 0,
    };
  };
}
