import { RuntimeError } from '@gantry/errors';
import type { Paths } from '../paths.ts';
import type { Records } from '../store/records.ts';
import type { TargetsMethod } from './handlers.ts';

/** What stream-server needs to reach a pod's ports: its network namespace, none for the host's. */
export function getPodTarget({
  records,
  paths,
}: {
  readonly records: Records;
  readonly paths: Paths;
}): TargetsMethod<'getPodTarget'> {
  return ({ podSandboxId }) => {
    const { id, phase, facts } = records.getSandbox(podSandboxId);
    if (phase !== 'ready') {
      throw new RuntimeError('failed-precondition', `sandbox ${id}: it is ${phase}, not ready`);
    }
    return Promise.resolve({
      podSandboxId: id,
      netnsPath: facts.hostNetwork ? '' : paths.netns(id),
    });
  };
}
