import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseLxcContexts, type SelinuxPolicy } from '@gantry/oci-spec';

/** What the host has of SELinux. */
export interface SelinuxHost {
  readonly isOn: boolean;
  /** The labels of containers in the loaded policy; absent where SELinux is off, or it has none. */
  readonly policy?: SelinuxPolicy;
}

const mounted = 'sys/fs/selinux/enforce';
/** Where container-selinux keeps them for all policies; it goes before a policy's own. */
const common = 'usr/share/containers/selinux/contexts';

/**
 * Looks whether SELinux is on, enforcing or not, and what its policy says that
 * containers are. `root` is '/' but in tests.
 */
export async function readSelinuxHost(root = '/'): Promise<SelinuxHost> {
  if (!(await exists(join(root, mounted)))) {
    return { isOn: false };
  }
  const config = (await textOf(join(root, 'etc/selinux/config'))) ?? '';
  const type = /^\s*SELINUXTYPE\s*=\s*"?([\w.-]+)"?\s*$/m.exec(config)?.[1] ?? 'targeted';
  const files = [common, `etc/selinux/${type}/contexts/lxc_contexts`];
  for (const file of files) {
    const policy = parseLxcContexts((await textOf(join(root, file))) ?? '');
    if (policy !== undefined) {
      return { isOn: true, policy };
    }
  }
  return { isOn: true };
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}
