import { messageOf, RuntimeError } from '@gantry/errors';
import { type CreateContainerRequest, CreateContainerRequestSchema } from '@gantry/proto';
import { newId, shortId } from '../ids.ts';
import type { Operation } from '../journal/journal.ts';
import { runSteps, type Step, undoAfter, undoSteps } from '../journal/steps.ts';
import type { PodLock } from '../pods/pod-lock.ts';
import { imageFacts } from '../pods/run-pod.ts';
import type { Clock } from '../ports.ts';
import type { Caller, Creation, SharedCreations } from '../shared-creation.ts';
import type { Container } from '../store/container-store.ts';
import { fingerprint } from '../store/fingerprint.ts';
import { containerName } from '../store/name-store.ts';
import type { Records } from '../store/records.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import {
  type CheckedContainerConfig,
  checkContainerConfig,
  logPathOf,
  refuseLogLinks,
} from './container-request.ts';
import type { ContainerWork } from './container-work.ts';

export interface CreateContainerDeps {
  readonly records: Records;
  readonly podLock: PodLock;
  readonly creations: SharedCreations;
  readonly clock: Clock;
  readonly faultPoint: (name: string) => void;
  readonly steps: readonly Step<ContainerWork>[];
}

const operation = 'create-container';

/**
 * Makes a container in a ready pod and returns its id. On failure everything is
 * undone and the name is free again. The same request once more, while the
 * first runs or after its caller's deadline, gets the first one's id.
 */
export function createContainer(
  deps: CreateContainerDeps,
  request: CreateContainerRequest,
  caller: Caller,
): Promise<string> {
  const { records, podLock, creations } = deps;
  const config = checkContainerConfig(request.config);
  const { id: sandboxId, config: pod } = records.getSandbox(request.podSandboxId);
  if (pod.metadata === undefined) {
    throw new RuntimeError('internal', `sandbox ${sandboxId}: its record has no metadata`);
  }
  const name = containerName(config.metadata, pod.metadata);
  // The pod's config came along for old runtimes: what counts is the pod that stands.
  const print = fingerprint(CreateContainerRequestSchema, {
    ...request,
    sandboxConfig: undefined,
    podSandboxId: sandboxId,
  } as CreateContainerRequest);

  return creations.run(name, print, caller, async (creation) => {
    const inTheMaking = namedAndCreating(records, name);
    return podLock.run(
      sandboxId,
      async () => {
        const earlier = earlierResult(records, name, print, inTheMaking);
        return earlier ?? (await makeContainer(deps, { sandboxId, name, print, config }, creation));
      },
      { signal: creation.signal },
    );
  });
}

/** Undoes all that the making of a container may have left on the host; its record stays. */
export async function undoContainer(
  { steps, faultPoint }: Pick<CreateContainerDeps, 'steps' | 'faultPoint'>,
  work: ContainerWork,
): Promise<void> {
  const doing = `create container ${shortId(work.container.id)}`;
  await undoSteps(steps, work, { operation, doing, faultPoint });
}

interface Wanted {
  readonly sandboxId: string;
  readonly name: string;
  readonly print: string;
  readonly config: CheckedContainerConfig;
}

async function makeContainer(
  deps: CreateContainerDeps,
  wanted: Wanted,
  creation: Creation,
): Promise<string> {
  const { records } = deps;
  const sandbox = records.sandboxes.get(wanted.sandboxId);
  requireReady(sandbox, `create container ${wanted.config.metadata.name}`);
  const container = newContainer(deps, sandbox, wanted);
  await refuseLogLinks(sandbox, wanted.config);
  const op = reserve(deps, container);
  const work: ContainerWork = { container, sandbox };
  try {
    await runSteps(deps.steps, work, {
      operation,
      doing: `create container ${wanted.config.metadata.name} (${shortId(container.id)})`,
      signal: creation.signal,
      trail: op.trail,
      faultPoint: deps.faultPoint,
    });
    records.commit(() => {
      const { root, learnt } = work;
      records.containers.update(container.id, {
        phase: 'created',
        facts: {
          ...learnt,
          delivered: creation.awaited(),
          createdAtNanos: deps.clock(),
          ...(root && { image: imageFacts(root.image), upperDir: root.upperDir }),
        },
      });
      records.journal.end(op, 'done');
    });
    return container.id;
  } catch (error) {
    throw await giveUp(deps, work, op, error);
  }
}

function newContainer(deps: CreateContainerDeps, sandbox: Sandbox, wanted: Wanted): Container {
  const { name, print, config } = wanted;
  const logPath = logPathOf(sandbox, config);
  return {
    id: newId(),
    sandboxId: sandbox.id,
    phase: 'creating',
    config,
    facts: {
      name,
      fingerprint: print,
      delivered: false,
      handler: sandbox.facts.handler,
      createdAtNanos: deps.clock(),
      ...(logPath === undefined ? {} : { logPath }),
    },
  };
}

function reserve({ records, faultPoint }: CreateContainerDeps, container: Container): Operation {
  faultPoint(`${operation}:intent`);
  const op = records.commit(() => {
    records.names.reserve(container.facts.name, container.id);
    records.containers.insert(container);
    return records.journal.begin(operation, container.id, container.sandboxId);
  });
  faultPoint(`${operation}:intent:done`);
  return op;
}

/**
 * Undoes, and returns what to tell. Where that fails too the container is
 * shown, so that a client asks for its removal.
 */
async function giveUp(
  deps: CreateContainerDeps,
  work: ContainerWork,
  op: Operation,
  cause: unknown,
): Promise<unknown> {
  const { records, steps, faultPoint } = deps;
  const { id } = work.container;
  const doing = `create container ${shortId(id)}`;
  const { error, isUndone } = await undoAfter(cause, steps, work, { operation, doing, faultPoint });
  records.commit(() => {
    if (isUndone) {
      records.containers.remove(id);
      records.names.releaseOf(id);
    } else {
      const message = messageOf(error);
      const finishedAtNanos = deps.clock();
      records.containers.update(id, {
        phase: 'exited',
        facts: { delivered: true, exitCode: 128, reason: 'StartError', message, finishedAtNanos },
      });
    }
    records.journal.end(op, 'failed', error);
  });
  return error;
}

/** Throws `failed-precondition` unless containers may be created and started in the pod. */
export function requireReady(sandbox: Sandbox, doing: string): void {
  if (sandbox.phase !== 'ready') {
    throw new RuntimeError(
      'failed-precondition',
      `${doing}: sandbox ${sandbox.id} is not ready (${sandbox.phase})`,
    );
  }
}

function namedAndCreating(records: Records, name: string): boolean {
  const owner = records.names.ownerOf(name);
  return owner !== undefined && records.containers.find(owner)?.phase === 'creating';
}

/** As for pods: see run-pod.ts. The lock of the pod is held. */
function earlierResult(
  records: Records,
  name: string,
  print: string,
  inTheMaking: boolean,
): string | undefined {
  const owner = records.names.ownerOf(name);
  const now = owner === undefined ? undefined : records.containers.find(owner);
  if (now === undefined) {
    return undefined;
  }
  const shared = inTheMaking || !now.facts.delivered;
  if (now.facts.fingerprint === print && now.phase === 'created' && shared) {
    records.containers.update(now.id, { facts: { delivered: true } });
    return now.id;
  }
  throw new RuntimeError(
    'already-exists',
    `create container: name "${name}" is reserved for "${now.id}"`,
  );
}
