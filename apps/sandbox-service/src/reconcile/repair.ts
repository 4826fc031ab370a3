import { messageOf, RuntimeError } from '@gantry/errors';
import type { Logger } from '@gantry/telemetry';
import { type CreateContainerDeps, undoContainer } from '../containers/create-container.ts';
import { removeContainer } from '../containers/remove-container.ts';
import { type StartContainerDeps, startSteps } from '../containers/start-container.ts';
import { type UpdateResourcesDeps, undoUpdate } from '../containers/update-resources.ts';
import type { OperationRecord } from '../journal/journal.ts';
import { undoSteps } from '../journal/steps.ts';
import { type RemovePodDeps, removePod } from '../pods/remove-pod.ts';
import { type RunPodDeps, undoPod } from '../pods/run-pod.ts';
import { stopPod } from '../pods/stop-pod.ts';
import type { Container } from '../store/container-store.ts';

export interface RepairDeps {
  readonly removal: RemovePodDeps;
  readonly runPod: Pick<RunPodDeps, 'steps' | 'faultPoint'>;
  readonly createContainer: Pick<CreateContainerDeps, 'steps' | 'faultPoint'>;
  readonly start: StartContainerDeps;
  readonly update: UpdateResourcesDeps;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/**
 * Puts right what operations have left whose process died; the lock of the pod
 * is held. What made something is undone, what took something away is
 * finished. A start whose program may run already is finished too.
 */
export async function repair(deps: RepairDeps, open: readonly OperationRecord[]): Promise<void> {
  for (const operation of open) {
    const how = await repairOne(deps, operation);
    deps.log.info(
      { operation: operation.kind, id: operation.objectId, begun_at: operation.begunAt },
      `repaired after a crash: ${how}`,
    );
  }
}

async function repairOne(deps: RepairDeps, operation: OperationRecord): Promise<string> {
  switch (operation.kind) {
    case 'run-pod-sandbox':
      return repairRunPod(deps, operation);
    case 'create-container':
      return repairCreate(deps, operation);
    case 'start-container':
      return repairStart(deps, operation);
    case 'update-container':
      return repairUpdate(deps, operation);
    case 'stop-pod-sandbox':
      await stopPod(deps.removal, operation.objectId);
      return end(deps, operation, 'finished');
    case 'remove-pod-sandbox':
      await removePod(deps.removal, operation.objectId);
      return end(deps, operation, 'finished');
    case 'remove-container':
      await removeContainer(deps.removal, operation.objectId);
      return end(deps, operation, 'finished');
    default:
      throw new RuntimeError('internal', `repair: unknown operation ${String(operation.kind)}`);
  }
}

async function repairRunPod(deps: RepairDeps, operation: OperationRecord): Promise<string> {
  const { records } = deps.removal;
  const sandbox = records.sandboxes.find(operation.objectId);
  if (sandbox?.phase === 'creating') {
    await undoPod(deps.runPod, { sandbox });
  }
  return records.commit(() => {
    if (sandbox?.phase === 'creating') {
      records.sandboxes.remove(sandbox.id);
      records.names.releaseOf(sandbox.id);
    }
    return end(deps, operation, 'undone');
  });
}

async function repairCreate(deps: RepairDeps, operation: OperationRecord): Promise<string> {
  const { records } = deps.removal;
  const container = records.containers.find(operation.objectId);
  if (container?.phase === 'creating') {
    await undoContainer(deps.createContainer, { container });
  }
  return records.commit(() => {
    if (container?.phase === 'creating') {
      records.containers.remove(container.id);
      records.names.releaseOf(container.id);
    }
    return end(deps, operation, 'undone');
  });
}

async function repairStart(deps: RepairDeps, operation: OperationRecord): Promise<string> {
  const { records } = deps.removal;
  const container = records.containers.find(operation.objectId);
  if (container?.phase !== 'created') {
    return end(deps, operation, 'nothing to do');
  }
  // The first process is written down once the runtime was told to start it.
  if (container.facts.init !== undefined) {
    return finishStart(deps, operation, container);
  }
  await undoSteps(
    startSteps(deps.start),
    { container },
    { operation: operation.kind, doing: 'start container', faultPoint: deps.start.faultPoint },
  );
  return records.commit(() => {
    records.containers.update(container.id, { facts: { inRuntime: false } });
    return end(deps, operation, 'undone, it can be started');
  });
}

async function repairUpdate(deps: RepairDeps, operation: OperationRecord): Promise<string> {
  const container = deps.removal.records.containers.find(operation.objectId);
  try {
    if (container !== undefined) {
      await undoUpdate(deps.update, container);
    }
  } catch (err) {
    // Limits that can't be put back must not keep the pod from being stopped.
    deps.log.warn({ err, id: operation.objectId }, 'put back limits after a crash');
    return end(deps, operation, `not undone: ${messageOf(err)}`);
  }
  return end(deps, operation, 'undone');
}

async function finishStart(
  deps: RepairDeps,
  operation: OperationRecord,
  container: Container,
): Promise<string> {
  const { records, containerEnd } = deps.removal;
  const { runtime, handlers } = deps.start;
  try {
    await runtime.start(handlers.get(container.facts.handler), container.id);
  } catch (err) {
    // Started already, or gone already: what holds is found out below.
    deps.log.info({ err, id: container.id }, 'start again after a crash');
  }
  records.containers.update(container.id, { phase: 'running' });
  const { monitor } = container.facts;
  // Its conmon tells how it ends, even where the program has ended by now.
  if (monitor === undefined || !(await deps.start.processes.isRunning(monitor))) {
    await containerEnd.recordExit(records.containers.get(container.id), { killed: false });
  }
  return end(deps, operation, 'finished');
}

function end(deps: RepairDeps, operation: OperationRecord, how: string): string {
  deps.removal.records.journal.repaired(operation, how);
  return how;
}
