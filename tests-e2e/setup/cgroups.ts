import { globSync, rmdirSync } from 'node:fs';
import { basename } from 'node:path';

/** The cgroup that every pod of a run is under: told by the run's directory. */
export function cgroupOfRun(runDir: string): string {
  return `/${basename(runDir)}`;
}

/** Removes what a run left below its cgroup; its processes ended with the pid namespace. */
export async function removeTestCgroups(runDir: string): Promise<void> {
  const name = cgroupOfRun(runDir);
  const found = globSync([`/sys/fs/cgroup${name}/**/`, `/sys/fs/cgroup/*${name}/**/`]);
  for (const path of found.sort((a, b) => b.length - a.length)) {
    try {
      rmdirSync(path);
    } catch {
      // Not empty yet, or gone: the next run has a name of its own.
    }
  }
}
