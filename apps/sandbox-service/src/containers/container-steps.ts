import type { Step } from '../journal/steps.ts';
import type { Paths } from '../paths.ts';
import { writeSpec } from '../pods/pod-steps.ts';
import type { Mounts, PreparedRoot, RootFilesystems, Specs } from '../ports.ts';
import { mountRoot, releaseRoot, removeBundle } from '../rootfs.ts';
import type { Container, ContainerFacts } from '../store/container-store.ts';
import type { Sandbox } from '../store/sandbox-store.ts';

export interface ContainerStepDeps {
  readonly paths: Paths;
  readonly roots: RootFilesystems;
  readonly mounts: Mounts;
  readonly specs: Specs;
}

/** A container in the making. Undo needs the id of `container` alone. */
export interface ContainerWork {
  readonly container: Container;
  readonly sandbox?: Sandbox;
  root?: PreparedRoot;
  /** What its spec told of it. */
  learnt?: Pick<ContainerFacts, 'user' | 'stopSignal' | 'cgroupsPath'>;
}

/**
 * How a container comes to be: its root is mounted and its config.json written,
 * so that whatever the request got wrong is told now. The OCI runtime sees it
 * when it is started.
 */
export function containerSteps(deps: ContainerStepDeps): readonly Step<ContainerWork>[] {
  const { paths, roots, specs } = deps;
  return [
    {
      name: 'root',
      async run(work, signal) {
        const { id, config } = work.container;
        work.root = await roots.prepare(id, config.image?.image ?? '', { signal });
      },
      undo: ({ container }) => releaseRoot(deps, container.id),
    },
    {
      name: 'mount',
      async run({ container, root }) {
        if (root !== undefined) {
          await mountRoot(deps, container.id, root);
        }
      },
      undo: ({ container }) => removeBundle(deps, container.id),
    },
    {
      name: 'spec',
      async run(work) {
        const { container, sandbox, root } = work;
        if (sandbox === undefined || root === undefined) {
          return;
        }
        const { spec, stopSignal } = await specs.container(container, sandbox, root);
        await writeSpec(paths, container.id, spec);
        const { uid, gid, additionalGids = [] } = spec.process.user;
        work.learnt = {
          stopSignal,
          user: { uid, gid, additionalGids },
          ...(spec.linux.cgroupsPath === undefined ? {} : { cgroupsPath: spec.linux.cgroupsPath }),
        };
      },
    },
  ];
}
