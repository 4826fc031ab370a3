import type { OciMount, OciSpec } from '@gantry/oci';
import type { Mount } from '@gantry/proto/nri';
import { removedKey } from '../owners.ts';

/**
 * The mounts of `spec` with those of plugins, which replace others at the same
 * place; sorted by depth, then by name. A mount that is to be shared makes the
 * root shared, as the kernel needs it.
 */
export function adjustMounts(spec: OciSpec, wanted: readonly Mount[]): OciMount[] {
  if (wanted.length === 0) {
    return spec.mounts;
  }
  const gone = new Set(wanted.map(({ destination }) => removedKey(destination) ?? destination));
  const added = wanted.filter(({ destination }) => removedKey(destination) === undefined);
  for (const { options } of added) {
    propagateRoot(spec, options);
  }
  const kept = spec.mounts.filter(({ destination }) => !gone.has(destination));
  return [...kept, ...added.map(ociMount)].sort(byDepthThenName);
}

function ociMount({ destination, type, source, options }: Mount): OciMount {
  return {
    destination,
    ...(type !== '' && { type }),
    ...(source !== '' && { source }),
    ...(options.length > 0 && { options: [...options] }),
  };
}

function propagateRoot(spec: OciSpec, options: readonly string[]): void {
  const { rootfsPropagation = '' } = spec.linux;
  const isShared = rootfsPropagation === 'shared' || rootfsPropagation === 'rshared';
  if (options.includes('rshared') || options.includes('shared')) {
    if (!isShared) {
      spec.linux.rootfsPropagation = 'rshared';
    }
  } else if (options.includes('rslave') || options.includes('slave')) {
    if (!isShared && rootfsPropagation !== 'slave') {
      spec.linux.rootfsPropagation = 'rslave';
    }
  }
}

function byDepthThenName(a: OciMount, b: OciMount): number {
  const depth = (mount: OciMount): number => mount.destination.split('/').filter(Boolean).length;
  if (depth(a) !== depth(b)) {
    return depth(a) - depth(b);
  }
  return a.destination < b.destination ? -1 : Number(a.destination > b.destination);
}
