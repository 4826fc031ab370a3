import { rmdir } from 'node:fs/promises';
import type { Config } from '@gantry/config';
import { podSysctls } from '@gantry/oci-spec';
import { NamespaceMode, type PodSandboxConfig } from '@gantry/proto';
import { isMissing } from '../errno.ts';
import { finishAll } from '../finish-all.ts';
import type { Paths } from '../paths.ts';
import type { Mounts, Namespaces, PinnedNamespaces } from '../ports.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { hostnameOf } from './sandbox-files.ts';
import { mappingsOf, rangesOf, userNamespaceOf } from './user-namespace.ts';

export type Infra = 'pause' | 'none';

/**
 * What holds the namespaces of a pod. Containers that share their processes need
 * one that reaps: such pods have a pause container whatever is configured.
 */
export function infraOf(configured: Infra, config: PodSandboxConfig): Infra {
  const options = config.linux?.securityContext?.namespaceOptions;
  const sharesProcesses = (options?.pid ?? NamespaceMode.POD) === NamespaceMode.POD;
  return configured === 'pause' || sharesProcesses ? 'pause' : 'none';
}

/** Where the namespaces of a pod without a pause container are pinned; a missing one is the host's. */
export function pinsOf(
  paths: Paths,
  sandbox: Sandbox,
): Pick<PinnedNamespaces, 'network' | 'ipc' | 'uts'> & { readonly user?: string } {
  const { id, facts } = sandbox;
  const user = userNamespaceOf(paths, sandbox);
  return {
    ...(user === undefined ? {} : { user }),
    ...(facts.hostNetwork ? {} : { network: paths.netns(id), uts: paths.pin(id, 'uts') }),
    ...(facts.ownShm ? { ipc: paths.pin(id, 'ipc') } : {}),
  };
}

interface Deps {
  readonly paths: Paths;
  readonly namespaces: Namespaces;
  readonly mounts: Mounts;
  readonly config: Pick<Config, 'pods'>;
}

/** Makes the namespaces of a pod, with what a pause container would have set in them. */
export async function pinNamespaces(
  { paths, namespaces, config: { pods } }: Deps,
  sandbox: Sandbox,
): Promise<void> {
  const { id, config, facts } = sandbox;
  const privileged = config.linux?.securityContext?.privileged === true;
  const { user, ...pins } = pinsOf(paths, sandbox);
  const mappings = mappingsOf(sandbox);
  const wanted: PinnedNamespaces = {
    ...pins,
    sysctls: podSysctls(config, {
      unprivilegedPorts: pods.enable_unprivileged_ports,
      unprivilegedIcmp: pods.enable_unprivileged_icmp,
    }),
    ...(facts.hostNetwork ? {} : { hostname: hostnameOf(config) }),
    // Read-only by the first container, it would stay so for a privileged one that comes later.
    ...(privileged && !facts.hostNetwork ? { sysfs: paths.podSysfs(id) } : {}),
  };
  if (user === undefined || mappings === undefined) {
    await namespaces.create(wanted);
  } else {
    // Only what its users own may they change.
    await namespaces.createUsers({ user, ...pins }, rangesOf(mappings));
    await namespaces.configure(wanted);
  }
}

/** Lets them go; idempotent. */
export async function unpinNamespaces(
  { paths, namespaces, mounts }: Omit<Deps, 'config'>,
  id: string,
): Promise<void> {
  // It holds the network.
  await mounts.unmount(paths.podSysfs(id));
  await removeDirectory(paths.podSysfs(id));
  const pins = [paths.netns(id), paths.pin(id, 'ipc'), paths.pin(id, 'uts')];
  await finishAll(pins.map((path) => namespaces.remove(path)));
  await removeDirectory(paths.pins(id));
  await namespaces.remove(paths.userns(id));
}

/** Whether a pod has lost one, as when the host was started anew. */
export async function hasLostPin(
  { paths, namespaces }: Pick<Deps, 'paths' | 'namespaces'>,
  sandbox: Sandbox,
): Promise<boolean> {
  const found = await Promise.all(
    Object.values(pinsOf(paths, sandbox)).map((path) => namespaces.isPinned(path)),
  );
  return found.includes(false);
}

/** Not rm -r: should anything still be mounted, this fails and nothing is lost. */
async function removeDirectory(path: string): Promise<void> {
  await rmdir(path).catch((error: unknown) => {
    if (!isMissing(error)) {
      throw error;
    }
  });
}
