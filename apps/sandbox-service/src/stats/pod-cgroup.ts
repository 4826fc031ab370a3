import { dirname } from 'node:path';
import { cgroupDirectoryOf } from '../runtime/container-cgroup.ts';
import type { Sandbox } from '../store/sandbox-store.ts';

/**
 * The cgroups that are of one pod alone, by their path below the root. A
 * kubelet makes one for each pod and names it as the pod's cgroup parent; others
 * name none, or one that several pods share.
 */
export class PodCgroups {
  readonly #users = new Map<string, Set<string>>();

  constructor(sandboxes: readonly Sandbox[]) {
    for (const sandbox of sandboxes.filter(({ phase }) => phase !== 'stopped')) {
      for (let path = parentOf(sandbox); path !== '/'; path = dirname(path)) {
        const users = this.#users.get(path) ?? new Set();
        this.#users.set(path, users.add(podOf(sandbox)));
      }
    }
  }

  /** Undefined where the pod has none of its own. */
  ownOf(sandbox: Sandbox): string | undefined {
    const path = parentOf(sandbox);
    const wanted = sandbox.config.linux?.cgroupParent ?? '';
    return wanted === '' || this.#users.get(path)?.size !== 1 ? undefined : path;
  }
}

function parentOf({ facts: { cgroupsPath } }: Sandbox): string {
  return cgroupsPath === undefined ? '/' : dirname(cgroupDirectoryOf(cgroupsPath));
}

/** Sandboxes that a pod had one after the other are the same pod. */
function podOf({ id, config }: Sandbox): string {
  return config.metadata?.uid || id;
}
