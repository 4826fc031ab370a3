import { rm } from 'node:fs/promises';
import type { Mounts } from './ports.ts';

export type FakeMount = 'overlay' | 'tmpfs' | 'sysfs' | 'layers' | 'shifted';

/** Mounts that are a map of targets; what has an SELinux label, mounts and files, is noted in `labels`. */
export function fakeMounts(mounts: Map<string, FakeMount>, labels: Map<string, string>): Mounts {
  const mount = (kind: FakeMount) => (o: { readonly target: string; readonly label?: string }) => {
    mounts.set(o.target, kind);
    if (o.label !== undefined) {
      labels.set(o.target, o.label);
    }
    return Promise.resolve();
  };
  return {
    overlay: mount('overlay'),
    tmpfs: mount('tmpfs'),
    layers: mount('layers'),
    shifted: mount('shifted'),
    relabel: (path, label) => {
      labels.set(path, label);
      return Promise.resolve();
    },
    // A policy of its own kind: all types but these.
    knowsLabel: (label) => Promise.resolve(!label.includes('unknown')),
    releaseAll: async (directory) => {
      for (const target of mounts.keys()) {
        if (target.startsWith(`${directory}/`)) {
          mounts.delete(target);
        }
      }
      await rm(directory, { recursive: true, force: true });
    },
    unmount: (target) => {
      mounts.delete(target);
      return Promise.resolve();
    },
  };
}
