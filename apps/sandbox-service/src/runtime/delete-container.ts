import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findTool } from '@gantry/host';
import type { RuntimeHandler } from '../ports.ts';
import { pidFileOf } from './conmon-arguments.ts';
import { killStragglers } from './end-processes.ts';
import type { LaunchRecord } from './launch-record.ts';
import { readPid } from './monitor.ts';
import { ociFailure, runOci, saysNoSuchContainer } from './oci-command.ts';

/** Whether a runtime keeps anything of this id; after a reboot none does, and asking each costs a process. */
export async function knows(root: string, id: string): Promise<boolean> {
  return (await readdir(root).catch(() => [])).some((name) => name.startsWith(id));
}

/** The binary that a container was made with; undefined where it is no longer installed. */
export function toolOf(
  handler: RuntimeHandler,
  record: LaunchRecord | undefined,
): RuntimeHandler | undefined {
  const path = handler.path === '' ? record?.runtimePath : handler.path;
  const found = path === undefined || path === '' ? undefined : findTool(path);
  return found === undefined ? undefined : { ...handler, path: found };
}

/**
 * Whether the runtime has deleted a container that it had created to the end, and with it the
 * cgroup. Of one that was cut off in the making it may not know the cgroup.
 */
export async function deleteByRuntime(
  handler: RuntimeHandler,
  root: string,
  id: string,
  record: LaunchRecord | undefined,
): Promise<boolean> {
  const result = await runOci(handler, root, ['delete', id]);
  if (result.exitCode !== 0 && !saysNoSuchContainer(result)) {
    throw ociFailure(`delete container ${id}`, handler, 'delete', result);
  }
  if (result.exitCode !== 0) {
    // A crun that was killed before it wrote its state leaves a directory that it does not know.
    await rm(join(root, id), { recursive: true, force: true });
  }
  return (
    result.exitCode === 0 &&
    record?.bundleDir !== undefined &&
    readPid(pidFileOf(record.bundleDir)) !== undefined
  );
}

/** What is left to do for a runtime that is no longer there. The cgroup is not removed: false. */
export async function deleteByHand(
  root: string,
  id: string,
  record: LaunchRecord | undefined,
): Promise<false> {
  if (record !== undefined) {
    await killStragglers(`container ${id}`, record);
  }
  await rm(join(root, id), { recursive: true, force: true });
  return false;
}
