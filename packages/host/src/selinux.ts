import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from './system-error.ts';

/** Where the kernel tells of SELinux, once somebody has mounted it there; systemd does, with the first policy. */
const selinuxfs = 'sys/fs/selinux';

export type SelinuxMode = 'off' | 'permissive' | 'enforcing';

/** Whether the kernel runs with SELinux. `root` is '/' but in tests. */
export async function selinuxMode(root = '/'): Promise<SelinuxMode> {
  try {
    const enforce = await readFile(join(root, selinuxfs, 'enforce'), 'utf8');
    return enforce.trim() === '1' ? 'enforcing' : 'permissive';
  } catch {
    return 'off';
  }
}

/**
 * Whether the loaded policy has what a label names, and allows it together: no
 * process, mount or file can get it otherwise. Throws where the kernel can't be asked.
 */
export async function isKnownLabel(label: string, root = '/'): Promise<boolean> {
  const context = await open(join(root, selinuxfs, 'context'), 'r+');
  try {
    await context.write(Buffer.from(`${label}\0`));
    return true;
  } catch (error) {
    if (hasCode(error, 'EINVAL')) {
      return false;
    }
    throw error;
  } finally {
    await context.close();
  }
}

/**
 * The files that name the labels of containers, best first: that of container-selinux,
 * which is for all policies, and that of the policy in force.
 */
export async function containerLabelFiles(root = '/'): Promise<readonly string[]> {
  const config = await readFile(join(root, 'etc/selinux/config'), 'utf8').catch(() => '');
  const type = /^\s*SELINUXTYPE\s*=\s*"?([\w.-]+)"?\s*$/m.exec(config)?.[1] ?? 'targeted';
  return [
    join(root, 'usr/share/containers/selinux/contexts'),
    join(root, `etc/selinux/${type}/contexts/lxc_contexts`),
  ];
}
