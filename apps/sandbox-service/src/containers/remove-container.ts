import { removeCheckpoint } from '../checkpoint/restored-root.ts';
import type { Handlers } from '../handlers.ts';
import { shortId } from '../ids.ts';
import { runSteps, type Step } from '../journal/steps.ts';
import type { Plugins } from '../nri/plugins.ts';
import type { Paths } from '../paths.ts';
import type { Clock, Mounts, RootFilesystems, Runtime } from '../ports.ts';
import { releaseRoot, removeBundle } from '../rootfs.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import type { ContainerEnd } from './container-end.ts';
import { removeDeclaredVolumes } from './declared-volumes.ts';
import { releaseImageVolumes } from './image-volumes.ts';

export interface RemoveContainerDeps {
  readonly records: Records;
  readonly paths: Paths;
  readonly runtime: Runtime;
  readonly roots: RootFilesystems;
  readonly mounts: Mounts;
  readonly handlers: Handlers;
  readonly containerEnd: ContainerEnd;
  readonly plugins: Pick<Plugins, 'removeContainerSteps'>;
  readonly clock: Clock;
  readonly faultPoint: (name: string) => void;
}

const operation = 'remove-container';
const never = new AbortController().signal;

/**
 * Steps of a removal, each of which may find its work done already.
 *
 *   kill ──┬─▶ delete ──┬─▶ bundle
 *          ├─▶ root ────┤
 *          ├─▶ images ──┤
 *          └─▶ volumes ─┘
 */
export function removeContainerSteps(deps: RemoveContainerDeps): readonly Step<Container>[] {
  const { records, containerEnd } = deps;
  return [
    {
      name: 'kill',
      async run(container) {
        if (container.phase === 'running') {
          await containerEnd.kill(container);
        }
      },
    },
    {
      name: 'delete',
      async run({ id }) {
        await containerEnd.deleteFromRuntime(records.containers.get(id));
      },
    },
    // While config.json, which they are shown, is still there.
    ...deps.plugins.removeContainerSteps.map((step) => ({ ...step, after: ['kill'] })),
    { name: 'root', after: ['kill'], run: ({ id }) => releaseRoot(deps, id) },
    { name: 'images', after: ['kill'], run: (container) => releaseImageVolumes(deps, container) },
    { name: 'volumes', after: ['kill'], run: ({ id }) => removeDeclaredVolumes(deps, id) },
    {
      name: 'bundle',
      after: [
        ...['delete', 'root', 'images', 'volumes'],
        ...deps.plugins.removeContainerSteps.map(({ name }) => name),
      ],
      async run({ id }) {
        await removeCheckpoint(deps.paths, id);
        await removeBundle(deps, id);
      },
    },
  ];
}

/**
 * Removes a container of a pod whose lock is held; one that runs is killed.
 * Its record and name go last. Gone already is a success.
 */
export async function removeContainer(deps: RemoveContainerDeps, id: string): Promise<void> {
  const { records } = deps;
  const container = records.containers.find(id);
  if (container === undefined) {
    return;
  }
  const doing = `remove container ${shortId(id)}`;
  deps.faultPoint(`${operation}:intent`);
  const op = records.commit(() => {
    if (container.phase === 'created') {
      // Never to be started any more, should we die half-way.
      const finishedAtNanos = deps.clock();
      records.containers.update(id, {
        phase: 'exited',
        facts: { reason: 'Unknown', exitCode: 255, finishedAtNanos },
      });
    }
    return records.journal.begin(operation, id, container.sandboxId);
  });
  deps.faultPoint(`${operation}:intent:done`);
  try {
    await runSteps(removeContainerSteps(deps), container, {
      operation,
      doing,
      signal: never,
      trail: op.trail,
      faultPoint: deps.faultPoint,
    });
  } catch (cause) {
    records.commit(() => {
      records.journal.end(op, 'failed', cause);
    });
    throw cause;
  }
  records.commit(() => {
    records.containers.remove(id);
    records.names.releaseOf(id);
    records.journal.end(op, 'done');
  });
  deps.containerEnd.tell(id);
}
