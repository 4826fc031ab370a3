import type { OciMount } from '@gantry/oci';

/** Mounts by where they come from, weakest first. */
export interface MountSources {
  /** The kernel's file systems, /proc and so on. */
  readonly kernel: readonly OciMount[];
  /** Files and directories of the pod: /etc/hosts, /dev/shm and so on. */
  readonly pod: readonly OciMount[];
  /** Directories for the image's VOLUMEs. */
  readonly volumes: readonly OciMount[];
  readonly requested: readonly OciMount[];
}

/**
 * All mounts in the order in which they are made. A requested mount takes the
 * place of every other on its path, and of the kernel's file systems below it
 * too: who mounts the host's /dev or /sys means to see what is in there.
 * Sorted by depth, so that no mount hides another one below it; otherwise the
 * order is kept.
 */
export function mergeMounts({ kernel, pod, volumes, requested }: MountSources): OciMount[] {
  const taken = requested.map(({ destination }) => destination);
  const isFree = ({ destination }: OciMount): boolean => !taken.includes(destination);
  const isOutside = ({ destination }: OciMount): boolean =>
    !taken.some((path) => destination.startsWith(`${path}/`));
  return [
    ...kernel.filter((m) => isFree(m) && isOutside(m)),
    ...volumes.filter(isFree),
    ...pod.filter(isFree),
    ...requested,
  ].sort((a, b) => depthOf(a) - depthOf(b));
}

function depthOf({ destination }: OciMount): number {
  return destination.split('/').length;
}
