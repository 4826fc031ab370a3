import { stat } from 'node:fs/promises';
import type { Logger } from '@gantry/telemetry';
import type { ContainerEnd } from '../containers/container-end.ts';
import { isMissing } from '../errno.ts';
import { finishEach } from '../finish-all.ts';
import type { Paths } from '../paths.ts';
import { hasLostPin } from '../pods/pinned-namespaces.ts';
import type { Namespaces, Processes, ProcessId, Runtime } from '../ports.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import type { Sandbox } from '../store/sandbox-store.ts';

export interface ReconcilePodDeps {
  readonly records: Records;
  readonly paths: Paths;
  readonly runtime: Runtime;
  readonly processes: Processes;
  readonly namespaces: Namespaces;
  readonly containerEnd: ContainerEnd;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/**
 * Brings the records of one pod in line with the host, after a time when nobody
 * watched; the lock of the pod is held and nothing is left open on it.
 */
export async function reconcilePod(deps: ReconcilePodDeps, sandboxId: string): Promise<void> {
  const { records, log } = deps;
  const sandbox = records.sandboxes.find(sandboxId);
  if (sandbox === undefined) {
    return;
  }
  await finishEach(records.containers.ofSandbox(sandboxId), (c) => reconcileContainer(deps, c));
  if (sandbox.phase === 'ready' && (await isLost(deps, sandbox))) {
    records.sandboxes.update(sandboxId, { phase: 'notready' });
    log.info({ sandbox: sandboxId }, 'what held its namespaces is gone: sandbox is not ready');
  }
}

function isLost(deps: ReconcilePodDeps, sandbox: Sandbox): Promise<boolean> {
  return sandbox.facts.infra === 'none'
    ? hasLostPin(deps, sandbox)
    : ended(deps, sandbox.id, sandbox.facts.pause);
}

async function reconcileContainer(deps: ReconcilePodDeps, container: Container): Promise<void> {
  const { records, containerEnd } = deps;
  const { id, phase, facts } = container;
  if (phase === 'running' && (await ended(deps, id, facts))) {
    // Where conmon was killed the container may live on: nobody would ever
    // tell how it ends, so it ends here.
    await containerEnd.killProcesses(container);
    await containerEnd.recordExit(container, { killed: false });
  }
  if (phase === 'created' && !(await exists(deps.paths.spec(id)))) {
    // The host was started anew: its bundle is gone.
    await containerEnd.recordExit(container, { killed: false });
  }
  const now = records.containers.find(id);
  if (now?.phase === 'exited') {
    await containerEnd.deleteFromRuntime(now);
  }
}

/** An exit was written down, or the process that would write it is gone. */
async function ended(
  { runtime, paths, processes }: ReconcilePodDeps,
  ownerId: string,
  held: { readonly init?: ProcessId; readonly monitor?: ProcessId } = {},
): Promise<boolean> {
  if ((await runtime.exitOf(ownerId, paths.bundle(ownerId))) !== undefined) {
    return true;
  }
  if (held.monitor !== undefined && (await processes.isRunning(held.monitor))) {
    return false;
  }
  return true;
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) {
      return false;
    }
    throw error;
  }
}
