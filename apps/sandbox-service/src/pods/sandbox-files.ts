import { chown, mkdir, readFile, rm, rmdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { quote, RuntimeError } from '@gantry/errors';
import { writeFileAtomic } from '@gantry/host';
import { sharedLabel } from '@gantry/oci-spec';
import type { DNSConfig, PodSandboxConfig } from '@gantry/proto';
import { NamespaceMode } from '@gantry/proto';
import { isBadPath, isMissing } from '../errno.ts';
import { finishAll } from '../finish-all.ts';
import { makeDirectories } from '../make-directories.ts';
import type { Paths } from '../paths.ts';
import type { Mounts } from '../ports.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { makePrivateDirectory } from './private-directory.ts';
import { ownerOf } from './user-namespace.ts';

type Owner = ReturnType<typeof ownerOf>;

const shmBytes = 64 << 20;

interface Deps {
  readonly paths: Paths;
  readonly mounts: Mounts;
}

/** What a pod's containers find as HOSTNAME. */
export function hostnameOf(config: PodSandboxConfig): string {
  const network = config.linux?.securityContext?.namespaceOptions?.network;
  return network === NamespaceMode.NODE || config.hostname === '' ? hostname() : config.hostname;
}

/** The files that appear under /etc in every container of a pod, and its shared memory. */
export async function makeSandboxFiles(
  { paths, mounts }: Deps,
  sandbox: {
    readonly id: string;
    readonly config: PodSandboxConfig;
    readonly facts: Pick<Sandbox['facts'], 'ownShm' | 'selinux'>;
  },
): Promise<void> {
  const { id, config, facts } = sandbox;
  const owner = ownerOf(sandbox);
  const directory = paths.sandbox(id);
  await makePrivateDirectory(directory, sandbox);
  const file = async (name: string, content: string | Promise<string>): Promise<void> => {
    const path = join(directory, name);
    // Every user of a container may read it, whatever our umask is.
    await writeFileAtomic(path, await content, { mode: 0o644 });
    await give(path, owner);
    if (facts.selinux !== undefined) {
      await mounts.relabel(path, sharedLabel(facts.selinux));
    }
  };
  await finishAll([
    file('hostname', `${hostnameOf(config)}\n`),
    file('hosts', hostFile('/etc/hosts')),
    file('resolv.conf', resolvConf(config.dnsConfig)),
    facts.ownShm ? makeShm(mounts, paths.shm(id), owner, facts.selinux?.mount) : Promise.resolve(),
    makeLogDirectory(config.logDirectory),
  ]);
}

/** Removes them; what is gone already is fine. The log directory belongs to the kubelet. */
export async function removeSandboxFiles({ paths, mounts }: Deps, id: string): Promise<void> {
  await removeShm({ paths, mounts }, id);
  await rm(paths.sandbox(id), { recursive: true, force: true });
}

/** Unmounts a pod's shared memory and removes its mount point, so that no `rm -r` ever enters it. */
export async function removeShm({ paths, mounts }: Deps, id: string): Promise<void> {
  await mounts.unmount(paths.shm(id));
  await rmdir(paths.shm(id)).catch((error: unknown) => {
    if (!isMissing(error)) {
      throw error;
    }
  });
}

/** resolv.conf(5) as the CRI asks for it; without a config, or with an empty one, the host's own. */
async function resolvConf(dns: DNSConfig | undefined): Promise<string> {
  const lines: string[] = [];
  if (dns !== undefined) {
    if (dns.searches.length > 0) {
      lines.push(`search ${dns.searches.join(' ')}`);
    }
    lines.push(...dns.servers.map((server) => `nameserver ${server}`));
    if (dns.options.length > 0) {
      lines.push(`options ${dns.options.join(' ')}`);
    }
  }
  return lines.length === 0 ? hostFile('/etc/resolv.conf') : `${lines.join('\n')}\n`;
}

async function hostFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) {
      return '';
    }
    throw error;
  }
}

/** Ours already where the pod has no user namespace. */
async function give(path: string, { uid, gid }: Owner): Promise<void> {
  if (uid !== 0 || gid !== 0) {
    await chown(path, uid, gid);
  }
}

async function makeShm(
  mounts: Mounts,
  target: string,
  owner: Owner,
  label: string | undefined,
): Promise<void> {
  await mkdir(target, { mode: 0o755, recursive: true });
  await mounts.tmpfs({
    target,
    sizeBytes: shmBytes,
    mode: 0o1777,
    ...(label === undefined ? {} : { label }),
  });
  await give(target, owner);
}

async function makeLogDirectory(path: string): Promise<void> {
  if (path !== '') {
    try {
      await makeDirectories(path, 0o755);
    } catch (cause) {
      if (isBadPath(cause)) {
        const message = `config.log_directory: ${quote(path)} can't be a directory`;
        throw new RuntimeError('invalid-argument', message, { cause });
      }
      throw cause;
    }
  }
}
