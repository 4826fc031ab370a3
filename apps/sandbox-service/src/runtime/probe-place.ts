import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { removeCgroup, tryLockFile } from '@gantry/host';
import { isMissing } from '../errno.ts';
import { readBundleFacts } from './container-cgroup.ts';
import { killMakers } from './end-processes.ts';
import { killCgroup } from './kill-container.ts';

/*
 * Where handlers are tried: `.probe-<uuid>`, which no handler can be called, and
 * beside it `.probe-<uuid>.lock`. The lock is held from before the directory is made
 * until after it is removed: one that nobody holds is of a process that was killed.
 */

const prefix = '.probe-';
const suffix = '.lock';

/** A directory for one round of probes; disposing removes it. */
export async function openProbePlace(
  parent: string,
): Promise<AsyncDisposable & { readonly directory: string }> {
  const directory = join(parent, `${prefix}${randomUUID()}`);
  const lock = tryLockFile(`${directory}${suffix}`, { remove: true });
  if (lock === undefined) {
    throw new RuntimeError('internal', `${directory}: somebody else has its lock`);
  }
  const dispose = async (): Promise<void> => {
    await rm(directory, { recursive: true, force: true });
    await lock[Symbol.asyncDispose]();
  };
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    await dispose();
    throw error;
  }
  return { directory, [Symbol.asyncDispose]: dispose };
}

/**
 * Ends and removes what probes have left whose process was killed: containers, cgroups, directories.
 * What can't be ended now, as a process that hangs in the kernel, is left for the next start.
 */
export async function removeDeadProbes(parent: string): Promise<void> {
  const names = (await readdir(parent)).filter((name) => name.startsWith(prefix));
  const ids = new Set(names.map((name) => name.replace(/\.lock$/, '')));
  for (const id of ids) {
    const directory = join(parent, id);
    await using lock = tryLockFile(`${directory}${suffix}`, { remove: true });
    if (lock !== undefined) {
      await removeDeadProbe(directory).catch(() => undefined);
    }
  }
}

async function removeDeadProbe(directory: string): Promise<void> {
  for (const handler of await entriesOf(directory)) {
    const bundle = join(directory, handler);
    const what = `a probe of ${handler}`;
    await killMakers(what, bundle);
    const cgroup = cgroupOf(bundle);
    if (cgroup !== undefined) {
      await killCgroup(what, cgroup);
      await removeCgroup(cgroup);
    }
  }
  await rm(directory, { recursive: true, force: true });
}

function cgroupOf(bundle: string): string | undefined {
  try {
    return readBundleFacts(bundle).cgroupPath;
  } catch {
    // Killed before config.json was written: nothing was made then.
    return undefined;
  }
}

async function entriesOf(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) {
      return [];
    }
    throw error;
  }
}
