import { mkdir, rm, rmdir } from 'node:fs/promises';
import { isMissing } from './errno.ts';
import type { Paths } from './paths.ts';
import { makePrivateDirectory } from './pods/private-directory.ts';
import { userNamespaceOf } from './pods/user-namespace.ts';
import type { Mounts, PreparedRoot, RootFilesystems } from './ports.ts';
import type { Sandbox } from './store/sandbox-store.ts';

interface Deps {
  readonly paths: Paths;
  readonly mounts: Mounts;
  readonly roots: RootFilesystems;
}

/** Makes the bundle directory of a container of a pod and mounts its root file system there, as its user namespace has it, with this SELinux label. */
export async function mountRoot(
  { paths, mounts }: Pick<Deps, 'paths' | 'mounts'>,
  ownerId: string,
  root: PreparedRoot,
  sandbox: Pick<Sandbox, 'id' | 'config'>,
  label?: string,
): Promise<void> {
  const target = paths.rootfs(ownerId);
  const userNamespace = userNamespaceOf(paths, sandbox);
  await makePrivateDirectory(paths.bundle(ownerId), sandbox);
  await mkdir(target, { recursive: true, mode: 0o711 });
  await mounts.overlay({
    lowerDirs: root.lowerDirs,
    upperDir: root.upperDir,
    workDir: root.workDir,
    target,
    stagingDir: paths.mountsOf(ownerId, 'layers'),
    ...(userNamespace === undefined ? {} : { userNamespace }),
    ...(label === undefined ? {} : { label }),
  });
}

/** Unmounts the root file system of a container and removes its bundle; idempotent. */
export async function removeBundle(
  { paths, mounts }: Pick<Deps, 'paths' | 'mounts'>,
  ownerId: string,
): Promise<void> {
  await unmountRoot({ paths, mounts }, ownerId);
  await rm(paths.bundle(ownerId), { recursive: true, force: true });
}

/** Unmounts and gives the directories back to image-service; the rest of the bundle stays. Idempotent. */
export async function releaseRoot({ paths, mounts, roots }: Deps, ownerId: string): Promise<void> {
  await unmountRoot({ paths, mounts }, ownerId);
  await roots.release(ownerId);
}

async function unmountRoot({ paths, mounts }: Pick<Deps, 'paths' | 'mounts'>, ownerId: string) {
  const target = paths.rootfs(ownerId);
  await mounts.unmount(target);
  await mounts.releaseAll(paths.mountsOf(ownerId, 'layers'));
  // Not rm -r: should anything still be mounted, this fails and nothing is lost.
  await rmdir(target).catch((error: unknown) => {
    if (!isMissing(error)) {
      throw error;
    }
  });
}
