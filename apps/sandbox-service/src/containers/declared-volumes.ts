import { chown, lstat, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { resolveInRoot, run } from '@gantry/host';
import { parseImageConfig } from '@gantry/oci';
import { cleanPath } from '@gantry/oci-spec';
import { isMissing } from '../errno.ts';
import type { Paths } from '../paths.ts';
import { mappingsOf } from '../pods/user-namespace.ts';
import type { PreparedRoot } from '../ports.ts';
import type { Container } from '../store/container-store.ts';
import type { Sandbox } from '../store/sandbox-store.ts';

/** A directory for one VOLUME of an image. */
export interface DeclaredVolume {
  readonly containerPath: string;
  readonly source: string;
}

interface Deps {
  readonly paths: Paths;
}

/** More than any image has, less than would be felt. */
const maxVolumes = 256;

/**
 * Makes a directory for each VOLUME of the image that no mount of the request
 * takes the place of, with what the image has there: content, owners, modes,
 * links as links. The container's root file system is mounted, and nothing runs in it.
 */
export async function makeDeclaredVolumes(
  { paths }: Deps,
  container: Container,
  sandbox: Sandbox,
  root: PreparedRoot,
  signal: AbortSignal,
): Promise<readonly DeclaredVolume[]> {
  const { id, config } = container;
  const image = parseImageConfig(root.image.configJson, `image ${root.image.id}`);
  const mounted = new Set(config.mounts.map(({ containerPath }) => cleanPath(containerPath)));
  const declared = new Set(image.volumes.map(cleanPath));
  if (declared.size > maxVolumes) {
    const count = `${String(declared.size)} volumes`;
    throw new RuntimeError('invalid-argument', `image ${root.image.id}: ${count} are too many`);
  }
  const volumes: DeclaredVolume[] = [];
  for (const containerPath of declared) {
    // An image can't have its own root hidden.
    if (containerPath === '/' || mounted.has(containerPath)) {
      continue;
    }
    const source = join(paths.volumesOf(id), String(volumes.length));
    const content = await directoryOf(paths.rootfs(id), containerPath);
    if (content === 'file') {
      continue;
    }
    await mkdir(paths.volumesOf(id), { recursive: true, mode: 0o711 });
    await (content === undefined ? makeEmpty(source, sandbox) : copyTree(content, source, signal));
    volumes.push({ containerPath, source });
  }
  return volumes;
}

/** Removes what a container wrote to the volumes of its image; idempotent. */
export async function removeDeclaredVolumes({ paths }: Deps, containerId: string): Promise<void> {
  await rm(paths.volumesOf(containerId), { recursive: true, force: true });
}

/** The image's own directory at a path, its links followed inside of it; undefined where it has none. */
async function directoryOf(root: string, path: string): Promise<string | 'file' | undefined> {
  const resolved = await resolveInRoot(root, path);
  try {
    return (await lstat(resolved)).isDirectory() ? resolved : 'file';
  } catch (error) {
    if (isMissing(error)) {
      return undefined;
    }
    throw error;
  }
}

async function makeEmpty(target: string, sandbox: Sandbox): Promise<void> {
  await mkdir(target, { mode: 0o755 });
  const mappings = mappingsOf(sandbox);
  if (mappings !== undefined) {
    await chown(target, mappings.uids[0]?.hostID ?? 0, mappings.gids[0]?.hostID ?? 0);
  }
}

/** cp(1) keeps all that a file has, extended attributes and hard links too, and follows no link. */
async function copyTree(from: string, target: string, signal: AbortSignal): Promise<void> {
  await mkdir(target);
  const { exitCode, stderr } = await run('cp', ['--archive', '--', `${from}/.`, target], { signal });
  if (exitCode !== 0) {
    const words = stderr.toString().trim().split('\n', 1)[0] ?? '';
    const kind = /No space left|quota exceeded/i.test(words) ? 'resource-exhausted' : 'internal';
    throw new RuntimeError(kind, `copy the content of a volume: ${words}`);
  }
}
