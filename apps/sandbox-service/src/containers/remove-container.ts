import { removeCheckpoint } from '../checkpoint/restored-root.ts';
import type { Handlers } from '../handlers.ts';
import { shortId } from '../ids.ts';
import type { Step } from '../journal/steps.ts';
import { tearDown } from '../journal/tear-down.ts';
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
  await tearDown(deps, {
    operation: 'remove-container',
    doing: `remove container ${shortId(id)}`,
    subject: container,
    sandboxId: container.sandboxId,
    steps: removeContainerSteps(deps),
    keepGoing: false,
    begun: () => {
      if (container.phase === 'created') {
        // Never to be started any more, should we die half-way.
        const finishedAtNanos = deps.clock();
        records.containers.update(id, {
          phase: 'exited',
          facts: { reason: 'Unknown', exitCode: 255, finishedAtNanos },
        });
      }
    },
    done: () => {
      records.containers.remove(id);
      records.names.releaseOf(id);
    },
  });
  deps.containerEnd.tell(id);
}
