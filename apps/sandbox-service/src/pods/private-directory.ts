import { chmod, chown, mkdir } from 'node:fs/promises';
import type { Sandbox } from '../store/sandbox-store.ts';
import { ownerOf } from './user-namespace.ts';

/**
 * Makes a directory that holds files of a pod. Mount tables tell every user of
 * the host where it is, and programs with setuid lie in images: only root
 * may enter (CVE-2021-41103), and the root of the pod's own user namespace, who
 * comes by it as a member of the group.
 */
export async function makePrivateDirectory(
  path: string,
  sandbox: Pick<Sandbox, 'config'>,
): Promise<void> {
  const { gid } = ownerOf(sandbox);
  await mkdir(path, { recursive: true, mode: 0o700 });
  if (gid !== 0) {
    await chown(path, 0, gid);
  }
  await chmod(path, gid === 0 ? 0o700 : 0o710);
}
