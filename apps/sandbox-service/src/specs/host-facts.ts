import { access, readdir, readFile, statfs } from 'node:fs/promises';
import { arch, release } from 'node:os';
import { join } from 'node:path';
import { capabilitiesOfMask, type HostFacts, kernelVersionOf } from '@gantry/oci-spec';

/** What a spec depends on that does not change while we run; the rest is read at each create. */
export type StaticFacts = Omit<
  HostFacts,
  'appArmor' | 'devices' | 'recursiveReadOnly' | 'idmapMounts'
>;

const cgroup2Magic = 0x63677270; // linux/magic.h
const cgroupRoot = '/sys/fs/cgroup';

/** Looks at the kernel and at our own rights. */
export async function gatherHostFacts({
  selinux,
}: Pick<HostFacts, 'selinux'>): Promise<StaticFacts> {
  const [status, cgroupVersion] = await Promise.all([
    readFile('/proc/self/status', 'utf8'),
    findCgroupVersion(),
  ]);
  const capabilities = capabilitiesOfMask(/^CapPrm:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0');
  const privileged = capabilities.includes('CAP_SYS_RESOURCE');
  return {
    kernel: kernelVersionOf(release()) ?? { major: 0, minor: 0 },
    arch: arch(),
    cgroupVersion,
    capabilities,
    seccomp: /^Seccomp:/m.test(status),
    selinux,
    hugepageSizes: await hugepageSizes(cgroupVersion),
    swapAccounting: await hasSwapAccounting(cgroupVersion),
    lowestOomScoreAdj: privileged ? -1000 : await numberIn('/proc/self/oom_score_adj', 0),
    maxOpenFiles: privileged
      ? await numberIn('/proc/sys/fs/nr_open', 1 << 20)
      : await ownOpenFiles(),
  };
}

async function findCgroupVersion(): Promise<1 | 2> {
  try {
    return (await statfs(cgroupRoot)).type === cgroup2Magic ? 2 : 1;
  } catch {
    return 2;
  }
}

async function hugepageSizes(version: 1 | 2): Promise<readonly string[]> {
  const limits =
    version === 1
      ? await exists(join(cgroupRoot, 'hugetlb'))
      : ((await textOf(join(cgroupRoot, 'cgroup.controllers'))) ?? '')
          .split(/\s/)
          .includes('hugetlb');
  if (!limits) {
    return [];
  }
  const names = await readdir('/sys/kernel/mm/hugepages').catch(() => []);
  return names.flatMap((name) => {
    const kilobytes = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? 0);
    return kilobytes === 0 ? [] : [pageSize(kilobytes)];
  });
}

function pageSize(kilobytes: number): string {
  if (kilobytes >= 1 << 20) {
    return `${kilobytes >> 20}GB`;
  }
  return kilobytes >= 1 << 10 ? `${kilobytes >> 10}MB` : `${kilobytes}KB`;
}

async function hasSwapAccounting(version: 1 | 2): Promise<boolean> {
  if (version === 1) {
    return exists(join(cgroupRoot, 'memory', 'memory.memsw.limit_in_bytes'));
  }
  // The root cgroup has no limits; our own has, unless it is the root.
  const own = /^0::(.+)$/m.exec((await textOf('/proc/self/cgroup')) ?? '')?.[1] ?? '/';
  return own === '/' || (await exists(join(cgroupRoot, own, 'memory.swap.max')));
}

async function ownOpenFiles(): Promise<number> {
  const limits = (await textOf('/proc/self/limits')) ?? '';
  return Number(/^Max open files\s+\d+\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
}

async function numberIn(path: string, otherwise: number): Promise<number> {
  const text = await textOf(path);
  return text === undefined ? otherwise : Number(text.trim());
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
