import { copyFile, open, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { kindOf, RuntimeError } from '@gantry/errors';
import { run } from '@gantry/host';
import { isMissing } from '../errno.ts';
import type { CallOptions } from '../ports.ts';

/*
 * A checkpoint is a tar file as Podman, CRI-O, containerd and checkpointctl know it:
 *
 *   checkpoint/      what CRIU saved of the processes
 *   config.dump      which container it was, and of which image
 *   spec.dump        its config.json
 *   status.dump      its ContainerStatus
 *   rootfs-diff.tar  what it had written to its root
 *   container.log    its log so far
 *   dump.log         what CRIU said
 */

/** `config.dump`, by the names that others read. */
export interface ConfigDump {
  readonly id: string;
  readonly name: string;
  readonly rootfsImage: string;
  /** The image's id. */
  readonly rootfsImageRef: string;
  readonly rootfsImageName: string;
  /** The runtime handler. */
  readonly runtime: string;
  readonly createdTime: string;
  readonly checkpointedTime: string;
  readonly restored: boolean;
}

const timeoutMs = 30 * 60_000;

/** Runs GNU tar; its words are in the error. */
async function tar(
  args: readonly string[],
  doing: string,
  { signal }: CallOptions = {},
): Promise<void> {
  const result = await run('tar', args, { timeoutMs, ...(signal === undefined ? {} : { signal }) });
  if (result.exitCode !== 0) {
    const words = result.stderr.toString().trim().slice(0, 500);
    throw new RuntimeError('internal', `${doing}: tar: ${words}`);
  }
}

/** Of files whose owners, attributes and whiteouts have to stay as they are. */
const everything = ['--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner', '--sparse'];

/** The upper directory of an overlay as a tar, its whiteouts as the kernel keeps them. */
export async function packRoot(
  upperDir: string,
  file: string,
  options?: CallOptions,
): Promise<void> {
  await tar(
    [...everything, '-cf', file, '-C', upperDir, '.'],
    'pack the root file system',
    options,
  );
}

export async function unpackRoot(
  file: string,
  upperDir: string,
  options?: CallOptions,
): Promise<void> {
  const args = [...everything, '--same-permissions', '-xf', file, '-C', upperDir];
  await tar(args, 'unpack the root file system', options);
}

/** Writes JSON as root's own file. */
export async function writeDump(directory: string, name: string, value: unknown): Promise<void> {
  await writeFile(join(directory, name), JSON.stringify(value), { mode: 0o600 });
}

/** Copies a file that may not be there. */
export async function copyIfThere(source: string, target: string): Promise<void> {
  await copyFile(source, target).catch((error: unknown) => {
    if (!isMissing(error)) {
      throw error;
    }
  });
}

/**
 * Puts all of `directory` into a tar file at `location`, which appears whole or
 * not at all, for the eyes of root only: it has the container's memory.
 */
export async function writeArchive(
  directory: string,
  location: string,
  options?: CallOptions,
): Promise<void> {
  const partial = `${location}.partial`;
  try {
    await rm(partial, { force: true });
    await (await open(partial, 'wx', 0o600)).close();
    await tar(['--sparse', '-cf', partial, '-C', directory, '.'], `write ${location}`, options);
    await rename(partial, location);
  } catch (cause) {
    await rm(partial, { force: true });
    const kind = isMissing(cause) ? 'invalid-argument' : kindOf(cause);
    const where = isMissing(cause) ? `: no directory ${dirname(location)}` : '';
    throw new RuntimeError(kind, `write ${location}${where}`, { cause });
  }
}

export async function unpackArchive(
  file: string,
  directory: string,
  options?: CallOptions,
): Promise<void> {
  await tar(['--no-same-owner', '-xf', file, '-C', directory], `unpack ${file}`, options);
}
