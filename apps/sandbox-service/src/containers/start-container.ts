import { join } from 'node:path';
import { messageOf, RuntimeError } from '@gantry/errors';
import { NamespaceMode } from '@gantry/proto';
import { removeCheckpoint } from '../checkpoint/restored-root.ts';
import { finishAll } from '../finish-all.ts';
import type { Handlers } from '../handlers.ts';
import { shortId } from '../ids.ts';
import { runSteps, type Step, undoAfter } from '../journal/steps.ts';
import type { Plugins } from '../nri/plugins.ts';
import type { Paths } from '../paths.ts';
import type { CallOptions, Clock, Mounts, Namespaces, Processes, Runtime } from '../ports.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import type { StartWork } from './container-work.ts';
import { requireReady } from './create-container.ts';
import { releaseHostVolumes, withHostVolumes } from './host-volumes.ts';

export interface StartContainerDeps {
  readonly records: Records;
  readonly paths: Paths;
  readonly runtime: Runtime;
  readonly mounts: Mounts;
  readonly namespaces: Namespaces;
  readonly processes: Processes;
  readonly handlers: Handlers;
  readonly clock: Clock;
  readonly plugins: Pick<Plugins, 'startSteps' | 'exited'>;
  readonly faultPoint: (name: string) => void;
}

const operation = 'start-container';
const startErrorCode = 128;
const notStarted = {
  inRuntime: false,
  init: undefined,
  monitor: undefined,
  startedAtNanos: undefined,
};

/** How a container gets to run: conmon has the OCI runtime create it, then the user's program is let go. */
export function startSteps(deps: StartContainerDeps): readonly Step<StartWork>[] {
  const { records, paths, runtime, handlers } = deps;
  return [
    {
      name: 'create',
      async run(work, signal) {
        const { id, config, facts } = work.container;
        const launch = {
          id,
          name: config.metadata?.name ?? id,
          handler: handlers.get(facts.handler),
          bundleDir: paths.bundle(id),
          stdin: config.stdin,
          stdinOnce: config.stdinOnce,
          tty: config.tty,
          ...(facts.logPath === undefined ? {} : { logPath: facts.logPath }),
          ...(facts.restored === true && { restoreFrom: join(paths.checkpoint(id), 'checkpoint') }),
        };
        const sandbox = records.sandboxes.get(work.container.sandboxId);
        const processes = await withHostVolumes(deps, work.container, sandbox, () =>
          runtime.create(launch, { signal }),
        );
        work.init = processes.init;
        work.monitor = processes.monitor;
      },
      async undo({ container, init, monitor }) {
        const { id, facts } = container;
        const handler = handlers.forTeardown(facts.handler);
        await runtime.killAll(handler, id, init, monitor);
        await runtime.delete(handler, id);
        await releaseHostVolumes(deps, container);
      },
    },
    ...deps.plugins.startSteps,
    {
      name: 'start',
      async run(work) {
        const { id, facts } = work.container;
        const { init, monitor } = work;
        work.startedAtNanos = notBeforeItWas(deps, work.container);
        // From here on the program may run: who repairs must know whom to look
        // for. The write costs nothing, the runtime is busy meanwhile.
        await finishAll([
          // What was restored runs already.
          facts.restored === true
            ? removeCheckpoint(paths, id)
            : runtime.start(handlers.get(facts.handler), id),
          Promise.try(() =>
            records.containers.update(id, {
              facts: {
                startedAtNanos: work.startedAtNanos ?? 0n,
                ...(init === undefined ? {} : { init }),
                ...(monitor === undefined ? {} : { monitor }),
              },
            }),
          ),
        ]);
      },
    },
  ];
}

/**
 * Starts a created container of a ready pod; the lock of the pod is held. When
 * the OCI runtime refuses, the container has exited with StartError, code 128.
 * A caller that leaves early finds it created still.
 */
export async function startContainer(
  deps: StartContainerDeps,
  id: string,
  { signal = new AbortController().signal }: CallOptions = {},
): Promise<void> {
  const { records } = deps;
  const container = records.containers.get(id);
  const doing = `start container ${shortId(id)}`;
  await requireStartable(deps, container, doing);

  deps.faultPoint(`${operation}:intent`);
  const op = records.commit(() => {
    records.containers.update(id, { facts: { inRuntime: true } });
    return records.journal.begin(operation, id, container.sandboxId);
  });
  deps.faultPoint(`${operation}:intent:done`);

  const steps = startSteps(deps);
  const work: StartWork = { container };
  const options = { operation, doing, signal, trail: op.trail, faultPoint: deps.faultPoint };
  try {
    await runSteps(steps, work, options);
  } catch (cause) {
    const { error, isUndone } = await undoAfter(cause, steps, work, options);
    records.commit(() => {
      records.containers.update(
        id,
        signal.aborted && isUndone
          ? { facts: notStarted }
          : {
              phase: 'exited',
              facts: { ...startError(deps, container, error), inRuntime: !isUndone },
            },
      );
      records.journal.end(op, 'failed', error);
    });
    deps.plugins.exited(id);
    throw error;
  }
  records.commit(() => {
    records.containers.update(id, { phase: 'running' });
    records.journal.end(op, 'done');
  });
}

/** Now; where the clock was set back meanwhile, when the container was made. */
function notBeforeItWas({ clock }: StartContainerDeps, { facts }: Container): bigint {
  const now = clock();
  if (now < facts.createdAtNanos) {
    return facts.createdAtNanos;
  }
  return now;
}

function startError(deps: StartContainerDeps, container: Container, error: unknown) {
  return {
    startedAtNanos: 0n,
    finishedAtNanos: notBeforeItWas(deps, container),
    exitCode: startErrorCode,
    reason: 'StartError',
    message: messageOf(error),
  } as const;
}

async function requireStartable(
  deps: StartContainerDeps,
  container: Container,
  doing: string,
): Promise<void> {
  if (container.phase !== 'created') {
    throw new RuntimeError(
      'failed-precondition',
      `${doing}: it is ${container.phase}, not created`,
    );
  }
  requireReady(deps.records.sandboxes.get(container.sandboxId), doing);
  // Throws for one that was taken out of the configuration.
  deps.handlers.get(container.facts.handler);
  const options = container.config.linux?.securityContext?.namespaceOptions;
  if (options?.pid === NamespaceMode.TARGET) {
    await requireTarget(deps, options.targetId, doing);
  }
}

/** config.json points at the target's first process: it must still be that one. */
async function requireTarget(deps: StartContainerDeps, targetId: string, doing: string) {
  const target = deps.records.findContainer(targetId);
  const init = target?.facts.init;
  if (
    target?.phase !== 'running' ||
    init === undefined ||
    !(await deps.processes.isRunning(init))
  ) {
    throw new RuntimeError(
      'failed-precondition',
      `${doing}: the container ${targetId} whose processes it shares does not run`,
    );
  }
}
