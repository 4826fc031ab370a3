import { readdir, readFile, readlink } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { detectCgroups } from './cgroup-layout.ts';
import { type MountInfo, mountInfo, parseMountInfo } from './mount-info.ts';
import { parseStat } from './process-id.ts';

/** Which things of the host belong to the stack that is looked at. */
export interface HostScope {
  readonly stateDir: string;
  readonly rootDir: string;
  /** A cgroup, from the hierarchies' roots: it and all below it count. */
  readonly cgroupPrefix?: string;
  /** Where host-local keeps addresses: each file in it is one. */
  readonly ipamDir?: string;
}

/** What there is on the host of one stack, in words that tell the things apart. */
export interface HostSnapshot {
  readonly mounts: readonly string[];
  /** Paths of pinned network namespaces. */
  readonly netns: readonly string[];
  /** Paths in all hierarchies. */
  readonly cgroups: readonly string[];
  /** Those whose command line or root file system lies in the directories; ourselves and zombies left out. */
  readonly processes: readonly string[];
  readonly addresses: readonly string[];
}

// What host-local keeps beside the addresses.
const ipamBookkeeping = /^(lock|last_reserved_ip\..*)$/;

/** Counts what a stack has on the host, for tests that look for leaks. Needs root to see all processes. */
export async function snapshotHost(scope: HostScope): Promise<HostSnapshot> {
  const directories = [scope.stateDir, scope.rootDir].map((d) => posix.resolve(d));
  const mounts = (await mountInfo()).filter((m) => directories.some((d) => isIn(m.mountPoint, d)));
  const [pins, others] = [mounts.filter(isPin), mounts.filter((m) => !isPin(m))];
  return {
    mounts: others.map((m) => `${m.mountPoint} (${m.fsType})`),
    netns: pins.map((m) => m.mountPoint),
    cgroups: scope.cgroupPrefix === undefined ? [] : await cgroupsUnder(scope.cgroupPrefix),
    processes: await processesOf(directories),
    addresses: scope.ipamDir === undefined ? [] : await addressesIn(scope.ipamDir),
  };
}

/** What is there after and was not before, one line each: `mount left: /run/x/shm (tmpfs)`. */
export function diffHosts(before: HostSnapshot, after: HostSnapshot): readonly string[] {
  const labels: Readonly<Record<keyof HostSnapshot, string>> = {
    mounts: 'mount',
    netns: 'network namespace',
    cgroups: 'cgroup',
    processes: 'process',
    addresses: 'ip address',
  };
  const leaks: string[] = [];
  for (const key of Object.keys(labels) as (keyof HostSnapshot)[]) {
    // The same mount point may be mounted twice: each name counts as often as it stands there.
    const known = before[key].map((item) => identityOf(key, item));
    for (const item of after[key]) {
      const index = known.indexOf(identityOf(key, item));
      if (index >= 0) {
        known.splice(index, 1);
      } else {
        leaks.push(`${labels[key]} left: ${item}`);
      }
    }
  }
  return leaks;
}

/** A process is told by its pid: one that was seen before its exec has another command line later. */
function identityOf(key: keyof HostSnapshot, item: string): string {
  return key === 'processes' ? item.slice(0, item.indexOf(' ')) : item;
}

function isIn(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

function isPin(m: MountInfo): boolean {
  return m.fsType === 'nsfs';
}

async function cgroupsUnder(prefix: string): Promise<readonly string[]> {
  const { hierarchies } = await detectCgroups();
  const found = await Promise.all(hierarchies.map((h) => directoriesIn(join(h.directory, prefix))));
  return found.flat();
}

async function directoriesIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => undefined);
  if (entries === undefined) {
    return [];
  }
  const inner = entries
    .filter((e) => e.isDirectory())
    .map((e) => directoriesIn(join(path, e.name)));
  return [path, ...(await Promise.all(inner)).flat()];
}

async function addressesIn(path: string): Promise<readonly string[]> {
  const entries = await readdir(path, { withFileTypes: true, recursive: true }).catch(() => []);
  return entries
    .filter((e) => e.isFile() && !ipamBookkeeping.test(e.name))
    .map((e) => join(e.parentPath, e.name));
}

async function processesOf(directories: readonly string[]): Promise<readonly string[]> {
  const ourMounts = await readlink('/proc/self/ns/mnt').catch(() => '');
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found: string[] = [];
  for (const pid of pids.filter((p) => p !== String(process.pid))) {
    const command = await commandOf(pid);
    const isOurs =
      mentions(command, directories) || (await isRootedIn(pid, directories, ourMounts));
    // Looked at last: it may have ended meanwhile.
    if (isOurs && (await isAlive(pid))) {
      found.push(`${pid} (${command})`);
    }
  }
  return found;
}

function mentions(text: string, directories: readonly string[]): boolean {
  return directories.some((d) => text.includes(d));
}

async function commandOf(pid: string): Promise<string> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return text.replaceAll('\0', ' ').trim();
}

/** Whether its root directory is a mount made of directories of ours: a container's process. */
async function isRootedIn(
  pid: string,
  directories: readonly string[],
  ourMounts: string,
): Promise<boolean> {
  if (mentions(await readlink(`/proc/${pid}/root`).catch(() => ''), directories)) {
    return true;
  }
  const mounts = await readlink(`/proc/${pid}/ns/mnt`).catch(() => ourMounts);
  if (mounts === ourMounts) {
    return false;
  }
  const text = await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '');
  const root = parseMountInfo(text).find((m) => m.mountPoint === '/');
  return root !== undefined && mentions(`${root.root} ${root.options}`, directories);
}

async function isAlive(pid: string): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
  return text !== undefined && !parseStat(text).dead;
}
