import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { toOciMappings } from '@gantry/oci-spec';
import { type Mount, MountPropagation } from '@gantry/proto';
import type { Paths } from '../paths.ts';
import { makePrivateDirectory } from '../pods/private-directory.ts';
import { mappingsOf } from '../pods/user-namespace.ts';
import type { Mounts, Namespaces } from '../ports.ts';
import { sourceOf } from '../specs/resolve-mounts.ts';
import type { Container } from '../store/container-store.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { isImageVolume } from './image-volumes.ts';

interface Deps {
  readonly paths: Paths;
  readonly mounts: Mounts;
  readonly namespaces: Namespaces;
}

/** Whether ids are to be shifted in a mount. An image volume has them right from its own mount on. */
export function isShifted(mount: Mount): boolean {
  return (mount.uidMappings.length > 0 || mount.gidMappings.length > 0) && !isImageVolume(mount);
}

/** Where a host path with shifted ids is mounted while the runtime creates the container. */
export function shiftedSource(paths: Paths, containerId: string, index: number): string {
  return join(paths.mountsOf(containerId, 'volumes'), String(index));
}

/**
 * Runs `create` while the host paths that a container wants with shifted ids are
 * mounted so. The container has mounts of its own then: ours go at once, so that
 * nothing keeps a volume busy that a kubelet wants to take away.
 */
export async function withHostVolumes<T>(
  deps: Deps,
  container: Container,
  sandbox: Sandbox,
  create: () => Promise<T>,
): Promise<T> {
  const wanted = [...container.config.mounts.entries()].filter(([, mount]) => isShifted(mount));
  if (wanted.length === 0) {
    return create();
  }
  try {
    for (const [index, mount] of wanted) {
      await mountShifted(deps, container.id, sandbox, index, mount);
    }
    return await create();
  } finally {
    await releaseHostVolumes(deps, container);
  }
}

/** Takes away what a crash in `withHostVolumes` has left; idempotent. */
export async function releaseHostVolumes(
  { paths, mounts }: Pick<Deps, 'paths' | 'mounts'>,
  { id, config }: Container,
): Promise<void> {
  if (config.mounts.some(isShifted)) {
    await mounts.releaseAll(paths.mountsOf(id, 'volumes'));
  }
}

async function mountShifted(
  { paths, mounts, namespaces }: Deps,
  containerId: string,
  sandbox: Sandbox,
  index: number,
  mount: Mount,
): Promise<void> {
  if (mount.propagation === MountPropagation.PROPAGATION_BIDIRECTIONAL) {
    const message = `mount ${mount.containerPath}: with mapped ids its mounts can not reach the host`;
    throw new RuntimeError('failed-precondition', message);
  }
  const source = await sourceOf(mount);
  const target = shiftedSource(paths, containerId, index);
  await makePrivateDirectory(dirname(target), sandbox);
  const wanted = { uids: toOciMappings(mount.uidMappings), gids: toOciMappings(mount.gidMappings) };
  let userNamespace = paths.userns(sandbox.id);
  if (JSON.stringify(mappingsOf(sandbox)) !== JSON.stringify(wanted)) {
    userNamespace = `${target}-users`;
    const ranges = { uids: mount.uidMappings, gids: mount.gidMappings };
    await namespaces.createUsers({ user: userNamespace }, ranges);
  }
  await mounts.shifted({
    source,
    target,
    userNamespace,
    isFile: !(await stat(source)).isDirectory(),
    followsHost: mount.propagation === MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  });
}
