import { readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Logger } from '@gantry/telemetry';
import { removeCheckpoint } from '../checkpoint/restored-root.ts';
import { isMissing } from '../errno.ts';
import type { Handlers } from '../handlers.ts';
import { isObjectId } from '../ids.ts';
import type { Paths } from '../paths.ts';
import { unpinNamespaces } from '../pods/pinned-namespaces.ts';
import { removeSandboxFiles } from '../pods/sandbox-files.ts';
import type { Locks, Mounts, Namespaces, Network, RootFilesystems, Runtime } from '../ports.ts';
import { removeBundle } from '../rootfs.ts';
import type { Records } from '../store/records.ts';

export interface OrphanDeps {
  readonly records: Records;
  readonly paths: Paths;
  readonly runtime: Runtime;
  readonly roots: RootFilesystems;
  readonly mounts: Mounts;
  readonly namespaces: Namespaces;
  readonly locks: Locks;
  readonly handlers: Handlers;
  readonly network: Pick<Network, 'collect'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/**
 * Removes what lies on the host and has no record: after a lost or restored
 * database, or a host object that outlived its owner's removal. Records are
 * written before the host is changed and removed after it, and they are read
 * here after the host is: so what another instance works on is never touched.
 * Throws the first failure, after trying everything.
 */
export async function removeOrphans(deps: OrphanDeps): Promise<void> {
  const failures: unknown[] = [];
  // Containers first: they hold the mounts, and these the roots.
  const kinds = [
    containers,
    mountPoints,
    volumes,
    bundles,
    checkpoints,
    sandboxFiles,
    attachments,
    pins,
    netnses,
    roots,
    locks,
  ];
  for (const kind of kinds) {
    try {
      await kind(deps);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) {
    throw failures[0];
  }
}

async function containers(deps: OrphanDeps): Promise<void> {
  const { runtime, handlers, log } = deps;
  for (const handler of handlers.all) {
    for (const id of withoutRecord(deps, await runtime.list(handler))) {
      log.warn({ id, handler: handler.name }, 'container without a record: killing it');
      await runtime.killAll(handler, id);
      await runtime.delete(handler, id);
    }
  }
}

/** What CRIU saved of a container: its memory. */
async function checkpoints(deps: OrphanDeps): Promise<void> {
  const { paths } = deps;
  for (const id of withoutRecord(deps, await namesIn(paths.checkpoints))) {
    await removeCheckpoint(paths, id);
  }
}

async function bundles(deps: OrphanDeps): Promise<void> {
  const { paths, log } = deps;
  for (const id of withoutRecord(deps, await namesIn(paths.bundles))) {
    log.warn({ id }, 'bundle without a record: removing it');
    await removeBundle(deps, id);
  }
}

/** They are called `<id>.<kind>`. */
async function mountPoints(deps: OrphanDeps): Promise<void> {
  const { paths, mounts, log } = deps;
  const names = await namesIn(paths.mountPoints);
  const orphans = withoutRecord(deps, names.map(ownerOf));
  for (const name of names.filter((name) => orphans.includes(ownerOf(name)))) {
    log.warn({ name }, 'mount points without a record: removing them');
    await mounts.releaseAll(join(paths.mountPoints, name));
  }
}

async function volumes(deps: OrphanDeps): Promise<void> {
  const { paths, log } = deps;
  for (const id of withoutRecord(deps, await namesIn(paths.volumes))) {
    log.warn({ id }, 'volumes without a record: removing them');
    await rm(join(paths.volumes, id), { recursive: true, force: true });
  }
}

function ownerOf(name: string): string {
  return name.split('.', 1)[0] ?? '';
}

async function sandboxFiles(deps: OrphanDeps): Promise<void> {
  const { paths, log } = deps;
  for (const id of withoutRecord(deps, await namesIn(paths.sandboxes))) {
    log.warn({ id }, 'sandbox directory without a record: removing it');
    await removeSandboxFiles(deps, id);
  }
}

/** While the namespaces are there still: a plugin may need them. */
async function attachments({ network, records, log }: OrphanDeps): Promise<void> {
  const ids = await network.collect((id) => records.sandboxes.find(id) !== undefined);
  for (const id of ids) {
    log.warn({ id }, 'network attachment without a record: detached');
  }
}

async function pins(deps: OrphanDeps): Promise<void> {
  const { paths, log } = deps;
  for (const id of withoutRecord(deps, await namesIn(paths.pinned))) {
    log.warn({ id }, 'pinned namespaces without a record: letting them go');
    await unpinNamespaces(deps, id);
  }
}

async function netnses(deps: OrphanDeps): Promise<void> {
  const { paths, namespaces, log } = deps;
  for (const id of withoutRecord(deps, await namesIn(paths.usernses))) {
    log.warn({ id }, 'user namespace without a record: removing it');
    await namespaces.remove(paths.userns(id));
  }
  for (const id of withoutRecord(deps, await namesIn(paths.netnses))) {
    log.warn({ id }, 'network namespace without a record: removing it');
    await namespaces.removeNetns(paths.netns(id));
  }
}

async function roots(deps: OrphanDeps): Promise<void> {
  // Those of image volumes are called `<id>.<number>`.
  const names = await deps.roots.list();
  const orphans = withoutRecord(deps, names.map(ownerOf));
  for (const name of names.filter((name) => orphans.includes(ownerOf(name)))) {
    deps.log.warn({ id: name }, 'root file system without a record: giving it back');
    await deps.roots.release(name);
  }
}

/** A lock that can be taken and belongs to no pod was left by a process that died. */
async function locks(deps: OrphanDeps): Promise<void> {
  const { paths } = deps;
  const names = await namesIn(paths.locks);
  const ids = names.filter((n) => n.endsWith('.lock')).map((n) => basename(n, '.lock'));
  for (const id of withoutRecord(deps, ids)) {
    await using lock = deps.locks.tryLock(paths.lock(id));
    if (lock !== undefined) {
      await rm(paths.lock(id), { force: true });
    }
  }
}

/** Those of `ids` that are ids and belong to no pod or container. */
function withoutRecord({ records }: OrphanDeps, ids: readonly string[]): readonly string[] {
  return ids.filter(
    (id) =>
      isObjectId(id) &&
      records.sandboxes.find(id) === undefined &&
      records.containers.find(id) === undefined,
  );
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) {
      return [];
    }
    throw error;
  }
}
