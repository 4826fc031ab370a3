import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The directory below the cgroup root that an OCI runtime makes of `linux.cgroupsPath`. The systemd
 * form `slice:prefix:name` becomes `<slices>/prefix-name.scope`, where the slice `a-b.slice` lies
 * in `a.slice` (systemd.slice(5)).
 */
export function cgroupDirectoryOf(cgroupsPath: string): string {
  const [slice, prefix, name] = cgroupsPath.split(':');
  if (slice === undefined || prefix === undefined || name === undefined) {
    return join('/', cgroupsPath);
  }
  const scope = prefix === '' ? `${name}.scope` : `${prefix}-${name}.scope`;
  const parts = (slice === '' ? 'system.slice' : slice).replace(/\.slice$/, '').split('-');
  const slices = parts.map((_, i) => `${parts.slice(0, i + 1).join('-')}.slice`);
  return join('/', ...(slice === '-.slice' ? [] : slices), scope);
}

/** The cgroup of the container whose bundle is `bundleDir`; undefined when its spec names none. */
export async function cgroupOfBundle(bundleDir: string): Promise<string | undefined> {
  const spec: unknown = JSON.parse(await readFile(join(bundleDir, 'config.json'), 'utf8'));
  const linux = isObject(spec) ? spec['linux'] : undefined;
  const path = isObject(linux) ? linux['cgroupsPath'] : undefined;
  return typeof path === 'string' && path !== '' ? cgroupDirectoryOf(path) : undefined;
}

/**
 * Whether the kernel has killed a process of this cgroup for want of memory. False where the
 * cgroup is gone. Reads `memory.events` (v2) or `memory.oom_control` (v1).
 */
export async function hadOomKill(
  cgroupPath: string,
  cgroupRoot = '/sys/fs/cgroup',
): Promise<boolean> {
  const files = [
    join(cgroupRoot, cgroupPath, 'memory.events'),
    join(cgroupRoot, 'memory', cgroupPath, 'memory.oom_control'),
  ];
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
  return texts.some((text) => /^oom_kill [1-9]/m.test(text));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
