import type { Config } from '@gantry/config';
import { isCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { removeCheckpoint, restoredRoot } from '../checkpoint/restored-root.ts';
import type { Step } from '../journal/steps.ts';
import type { Plugins } from '../nri/plugins.ts';
import type { Paths } from '../paths.ts';
import { writeSpec } from '../pods/pod-steps.ts';
import { mappingsOf } from '../pods/user-namespace.ts';
import type { Mounts, RootFilesystems } from '../ports.ts';
import { mountRoot, releaseRoot, removeBundle } from '../rootfs.ts';
import type { Specs } from '../specs/specs.ts';
import type { ContainerWork } from './container-work.ts';
import { makeDeclaredVolumes, removeDeclaredVolumes } from './declared-volumes.ts';
import { type MountedImage, mountImageVolumes, releaseImageVolumes } from './image-volumes.ts';
import { relabelStep } from './relabel-mounts.ts';
import { requireKnownLabels, selinuxLabelsOf } from './selinux-labels.ts';

export interface ContainerStepDeps {
  readonly paths: Paths;
  readonly roots: RootFilesystems;
  readonly mounts: Mounts;
  readonly specs: Specs;
  readonly config: Pick<Config, 'pods'>;
  readonly plugins: Pick<Plugins, 'containerSteps'>;
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
        await requireKnownLabels(
          deps.mounts,
          work.sandbox && selinuxLabelsOf(work.container, work.sandbox),
          config.linux?.securityContext,
        );
        const mappings = work.sandbox && mappingsOf(work.sandbox);
        const image = config.image?.image ?? '';
        const prepare = (name: string) =>
          roots.prepare(id, name, { signal, ...(mappings === undefined ? {} : { mappings }) });
        work.root = isCheckpoint(image)
          ? await restoredRoot(paths, id, image, prepare, signal)
          : await prepare(image);
      },
      async undo({ container }) {
        await removeCheckpoint(paths, container.id);
        await releaseRoot(deps, container.id);
      },
    },
    {
      name: 'mount',
      async run({ container, sandbox, root }) {
        if (root !== undefined && sandbox !== undefined) {
          const label = selinuxLabelsOf(container, sandbox)?.mount;
          await mountRoot(deps, container.id, root, sandbox, label);
        }
      },
      undo: ({ container }) => removeBundle(deps, container.id),
    },
    ...volumeSteps(deps),
    {
      name: 'spec',
      async run(work) {
        const { container, sandbox, root } = work;
        if (sandbox === undefined || root === undefined) {
          return;
        }
        const images = work.images ?? new Map<number, MountedImage>();
        const { spec, stopSignal } = await specs.container(container, sandbox, root, {
          images: new Map([...images].map(([index, { source }]) => [index, source])),
          declared: work.declared ?? [],
        });
        await writeSpec(paths, container.id, spec);
        const { uid, gid, additionalGids = [] } = spec.process.user;
        work.learnt = {
          stopSignal,
          ...(isCheckpoint(container.config.image?.image ?? '') && { restored: true }),
          user: { uid, gid, additionalGids },
          ...(images.size === 0
            ? {}
            : {
                volumeImages: Object.fromEntries(
                  [...images].map(([index, { imageRef }]) => [index, imageRef]),
                ),
              }),
          ...(spec.linux.cgroupsPath === undefined ? {} : { cgroupsPath: spec.linux.cgroupsPath }),
        };
      },
    },
    relabelStep(deps),
    ...deps.plugins.containerSteps,
  ];
}

/** Beside the root: images to be read, and what the image itself wants to be kept apart. */
function volumeSteps(deps: ContainerStepDeps): readonly Step<ContainerWork>[] {
  return [
    {
      name: 'images',
      async run(work, signal) {
        const { container, sandbox } = work;
        if (sandbox !== undefined) {
          work.images = await mountImageVolumes(deps, container, sandbox, signal);
        }
      },
      undo: ({ container }) => releaseImageVolumes(deps, container),
    },
    {
      name: 'volumes',
      async run(work, signal) {
        const { container, sandbox, root } = work;
        const ignored = deps.config.pods.ignore_image_defined_volumes;
        if (sandbox !== undefined && root !== undefined && !ignored) {
          work.declared = await makeDeclaredVolumes(deps, container, sandbox, root, signal);
        }
      },
      undo: ({ container }) => removeDeclaredVolumes(deps, container.id),
    },
  ];
}
