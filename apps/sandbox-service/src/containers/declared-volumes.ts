import { chown, lstat, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { resolveInRoot, run } from '@gantry/host';
import { parseImageConfig } from '@gantry/oci';
import { cleanPath } from '@gantry/oci-spec';
import { isMissing } from '../errno.ts';
import type { Paths } from '../paths.ts';
import { makePrivateDirectory } from '../pods/private-directory.ts';
import { ownerOf } from '../pods/user-namespace.ts';
import type { Mounts, PreparedRoot } from '../ports.ts';
import type { Container } from '../store/container-store.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { selinuxLabelsOf } from './selinux-labels.ts';

/** A directory for one VOLUME of an image. */
export interface DeclaredVolume {
  readonly containerPath: string;
  readonly source: string;
}

interface Deps {
  readonly paths: Paths;
  readonly mounts: Pick<Mounts, 'relabel'>;
}

/** More than any image has, less than would be felt. */
const maxVolumes = 256;

/**
 * Makes a directory for each VOLUME of the image that no mount of the request
 * takes the place of, with what the image has there: content, owners, modes,
 * links as links. The container's root file system is mounted, and nothing runs in it.
 */
export async function makeDeclaredVolumes(
  { paths, mounts }: Deps,
  container: Container,
  sandbox: Sandbox,
  root: PreparedRoot,
  signal: AbortSignal,
): Promise<readonly DeclaredVolume[]> {
  const { id, config } = container;
  const image = parseImageConfig(root.image.configJson, `image ${root.image.id}`);
  const declared = new Set(image.volumes.map(cleanPath));
  if (declared.size > maxVolumes) {
    const count = `${String(declared.size)} volumes`;
    throw new RuntimeError('invalid-argument', `image ${root.image.id}: ${count} are too many`);
  }
  if (declared.size === 0) {
    return [];
  }
  // By where their links lead: what is mounted there must not be hidden. Nor must the root be.
  const rootfs = paths.rootfs(id);
  const taken = new Set([await resolveInRoot(rootfs, '/')]);
  for (const { containerPath } of config.mounts) {
    taken.add(await resolveInRoot(rootfs, containerPath));
  }
  const label = selinuxLabelsOf(container, sandbox)?.mount;
  const volumes: DeclaredVolume[] = [];
  for (const containerPath of declared) {
    const place = await resolveInRoot(rootfs, containerPath);
    const kind = await kindOf(place);
    if (taken.has(place) || kind === 'file') {
      continue;
    }
    taken.add(place);
    const source = join(paths.volumesOf(id), String(volumes.length));
    await makePrivateDirectory(paths.volumesOf(id), sandbox);
    await (kind === 'nothing' ? makeEmpty(source, sandbox) : copyTree(place, source, signal));
    if (label !== undefined) {
      await mounts.relabel(source, label, { signal });
    }
    volumes.push({ containerPath, source });
  }
  return volumes;
}

/** Removes what a container wrote to the volumes of its image; idempotent. */
export async function removeDeclaredVolumes(
  { paths }: Pick<Deps, 'paths'>,
  containerId: string,
): Promise<void> {
  await rm(paths.volumesOf(containerId), { recursive: true, force: true });
}

/** What the image has at a path without links. */
async function kindOf(path: string): Promise<'directory' | 'file' | 'nothing'> {
  try {
    return (await lstat(path)).isDirectory() ? 'directory' : 'file';
  } catch (error) {
    if (isMissing(error)) {
      return 'nothing';
    }
    throw error;
  }
}

async function makeEmpty(target: string, sandbox: Sandbox): Promise<void> {
  await mkdir(target, { mode: 0o755 });
  const { uid, gid } = ownerOf(sandbox);
  await chown(target, uid, gid);
}

/** cp(1) keeps all that a file has, extended attributes and hard links too, and follows no link. */
async function copyTree(from: string, target: string, signal: AbortSignal): Promise<void> {
  await mkdir(target);
  const { exitCode, stderr } = await run('cp', ['--archive', '--', `${from}/.`, target], {
    env: { ...process.env, LC_ALL: 'C' },
    signal,
  });
  if (exitCode !== 0) {
    const words = stderr.toString().trim().split('\n', 1)[0] ?? '';
    const kind = /No space left|quota exceeded/i.test(words) ? 'resource-exhausted' : 'internal';
    throw new RuntimeError(kind, `copy the content of a volume: ${words}`);
  }
}
