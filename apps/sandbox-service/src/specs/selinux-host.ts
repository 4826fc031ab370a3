import { readFile } from 'node:fs/promises';
import { containerLabelFiles, isKnownLabel, selinuxMode } from '@gantry/host';
import { parseLxcContexts, type SelinuxPolicy } from '@gantry/oci-spec';

/** What the host has of SELinux. */
export interface SelinuxHost {
  readonly isOn: boolean;
  /** The labels of containers in the loaded policy; absent where SELinux is off, or it has none. */
  readonly policy?: SelinuxPolicy;
  /** Why there are no labels where SELinux is on. */
  readonly problem?: string;
}

interface Asked {
  /** '/' but in tests. */
  readonly root?: string;
  readonly isKnown?: (label: string) => Promise<boolean>;
}

/**
 * Looks whether SELinux is on, enforcing or not, and what its policy says that
 * containers are. Files that name labels come with every policy, also with one
 * that was built without containers (Debian's): the kernel is asked.
 */
export async function readSelinuxHost({
  root = '/',
  isKnown = isKnownLabel,
}: Asked = {}): Promise<SelinuxHost> {
  if ((await selinuxMode(root)) === 'off') {
    return { isOn: false };
  }
  const files = await containerLabelFiles(root);
  for (const file of files) {
    const policy = parseLxcContexts(await readFile(file, 'utf8').catch(() => ''));
    if (policy === undefined) {
      continue;
    }
    for (const label of [policy.process, policy.file]) {
      if (!(await isKnown(label))) {
        return { isOn: true, problem: `${file} names ${label}, which the policy does not know` };
      }
    }
    return { isOn: true, policy };
  }
  return { isOn: true, problem: `no labels of containers in ${files.join(' or ')}` };
}
