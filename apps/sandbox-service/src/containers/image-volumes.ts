import { mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { kindOf, quote, RuntimeError } from '@gantry/errors';
import { resolveInRoot } from '@gantry/host';
import type { Mount } from '@gantry/proto';
import { isBadPath, isMissing } from '../errno.ts';
import type { Paths } from '../paths.ts';
import { makePrivateDirectory } from '../pods/private-directory.ts';
import { userNamespaceOf } from '../pods/user-namespace.ts';
import type { Mounts, RootFilesystems } from '../ports.ts';
import type { Container } from '../store/container-store.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { selinuxLabelsOf } from './selinux-labels.ts';

/** A mount of a container that shows an image. */
interface ImageVolume {
  /** In `config.mounts`. */
  readonly index: number;
  readonly mount: Mount;
  /** Under which image-service keeps the image's layers for it. */
  readonly ownerId: string;
}

/** What came of an image volume. */
export interface MountedImage {
  /** The host directory that the container gets. */
  readonly source: string;
  /** The image by digest, by its id where it has none. */
  readonly imageRef: string;
}

interface Deps {
  readonly paths: Paths;
  readonly roots: RootFilesystems;
  readonly mounts: Mounts;
}

/** Whether a mount of the CRI shows an image and not a host path. */
export function isImageVolume({ image }: Pick<Mount, 'image'>): boolean {
  return image !== undefined && image.image !== '';
}

function imageVolumesOf({ id, config }: Container): readonly ImageVolume[] {
  return config.mounts.flatMap((mount, index) =>
    isImageVolume(mount) ? [{ index, mount, ownerId: `${id}.${String(index)}` }] : [],
  );
}

/**
 * Mounts the images among a container's mounts, read-only; by their index in
 * `config.mounts`. A failure names the mount, and says ImageVolumeMountFailed,
 * the word that a kubelet knows.
 */
export async function mountImageVolumes(
  deps: Deps,
  container: Container,
  sandbox: Sandbox,
  signal: AbortSignal,
): Promise<ReadonlyMap<number, MountedImage>> {
  const mounted = new Map<number, MountedImage>();
  for (const volume of imageVolumesOf(container)) {
    try {
      mounted.set(volume.index, await mountOne(deps, container, sandbox, volume, signal));
    } catch (cause) {
      const field = `config.mounts: ${quote(volume.mount.containerPath)}`;
      throw new RuntimeError(kindOf(cause), `${field}: ImageVolumeMountFailed`, { cause });
    }
  }
  return mounted;
}

async function mountOne(
  { paths, roots, mounts }: Deps,
  container: Container,
  sandbox: Sandbox,
  { index, mount, ownerId }: ImageVolume,
  signal: AbortSignal,
): Promise<MountedImage> {
  const wanted = mount.image?.image ?? '';
  const { image, lowerDirs } = await roots.prepare(ownerId, wanted, { signal, readOnly: true });
  const target = join(paths.mountsOf(container.id, 'images'), String(index));
  await makePrivateDirectory(dirname(target), sandbox);
  await mkdir(target, { recursive: true, mode: 0o711 });
  const userNamespace = userNamespaceOf(paths, sandbox);
  const label = selinuxLabelsOf(container, sandbox)?.mount;
  await mounts.layers({
    lowerDirs,
    target,
    stagingDir: paths.mountsOf(container.id, 'layers'),
    ...(userNamespace === undefined ? {} : { userNamespace }),
    ...(label === undefined ? {} : { label }),
  });
  const source = await directoryIn(target, mount.imageSubPath);
  return { source, imageRef: image.repoDigests[0] ?? image.id };
}

/** Links in an image are its maker's: they lead nowhere but into the image. */
async function directoryIn(root: string, subPath: string): Promise<string> {
  if (subPath === '') {
    return root;
  }
  const field = `image_sub_path ${quote(subPath)}`;
  const path = await resolveInRoot(root, subPath).catch((cause: unknown) => {
    throw isBadPath(cause)
      ? new RuntimeError('invalid-argument', `${field}: leads nowhere`, { cause })
      : cause;
  });
  const stats = await stat(path).catch((cause: unknown) => {
    if (isMissing(cause)) {
      throw new RuntimeError('invalid-argument', `${field}: not in the image`, { cause });
    }
    throw cause;
  });
  if (!stats.isDirectory()) {
    throw new RuntimeError('invalid-argument', `${field}: not a directory`);
  }
  return path;
}

/** Unmounts a container's image volumes and gives up its hold on their images; idempotent. */
export async function releaseImageVolumes(
  { paths, roots, mounts }: Deps,
  container: Container,
): Promise<void> {
  const volumes = imageVolumesOf(container);
  if (volumes.length > 0) {
    await mounts.releaseAll(paths.mountsOf(container.id, 'layers'));
    await mounts.releaseAll(paths.mountsOf(container.id, 'images'));
    for (const { ownerId } of volumes) {
      await roots.release(ownerId);
    }
  }
}
