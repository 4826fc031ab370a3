import { RuntimeError } from '@gantry/errors';
import type { Handlers } from '../handlers.ts';
import type { Paths } from '../paths.ts';
import { readSpec } from '../pods/pod-steps.ts';
import { attachSocketOf, controlFifoOf } from '../runtime/conmon-arguments.ts';
import { runtimeRootOf } from '../runtime/oci-command.ts';
import type { Records } from '../store/records.ts';
import type { TargetsMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly paths: Paths;
  readonly handlers: Handlers;
  readonly stateDir: string;
}

/** How many processes are remembered; a pod of the kubelet has few containers, a node some hundred pods. */
const maxRemembered = 512;

/**
 * What stream-server needs to run a command beside a container's first
 * process, and to attach to that one. The process is read from its config.json once: the container runs what was
 * there at its creation, whatever the file says later.
 */
export function getExecTarget(deps: Deps): TargetsMethod<'getExecTarget'> {
  const { records, paths, handlers, stateDir } = deps;
  const processes = new Map<string, Uint8Array>();
  return async ({ containerId }) => {
    const { id, sandboxId, phase, facts, config } = records.getContainer(containerId);
    if (phase !== 'running') {
      processes.delete(id);
      throw new RuntimeError('failed-precondition', `container ${id}: it is ${phase}, not running`);
    }
    const processJson = processes.get(id) ?? (await readProcess(paths, id));
    // Put back at the end: the one that was asked for longest ago goes first.
    processes.delete(id);
    processes.set(id, processJson);
    if (processes.size > maxRemembered) {
      processes.delete(processes.keys().next().value ?? id);
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
      processJson,
      pid: facts.init?.pid ?? 0,
      attachSocket: attachSocketOf(paths.bundle(id)),
      controlFifo: controlFifoOf(paths.bundle(id)),
      tty: config.tty,
      stdin: config.stdin,
      stdinOnce: config.stdinOnce,
    };
  };
}

async function readProcess(paths: Paths, id: string): Promise<Uint8Array> {
  const spec = await readSpec(paths, id);
  if (spec === undefined) {
    throw new RuntimeError('internal', `container ${id}: its config.json is gone`);
  }
  return Buffer.from(JSON.stringify(spec.process));
}
