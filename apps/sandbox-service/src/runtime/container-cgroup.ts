import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { array, object, optional, parse, string } from 'valibot';

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

/** What the spec of a bundle says of how its container's processes can be found and killed. */
export interface BundleFacts {
  /** Below the cgroup root; undefined when the spec names none. */
  readonly cgroupPath?: string;
  /** With a pid namespace of its own the kernel ends all of its processes with the first. */
  readonly ownPids: boolean;
}

const specSchema = object({
  linux: optional(
    object({
      cgroupsPath: optional(string(), ''),
      namespaces: optional(array(object({ type: string(), path: optional(string(), '') })), []),
    }),
  ),
});

/** Reads the facts from a bundle's config.json. */
export function readBundleFacts(bundleDir: string): BundleFacts {
  const { linux } = parse(
    specSchema,
    JSON.parse(readFileSync(join(bundleDir, 'config.json'), 'utf8')),
  );
  const ownPids =
    linux?.namespaces.some(({ type, path }) => type === 'pid' && path === '') ?? false;
  return linux === undefined || linux.cgroupsPath === ''
    ? { ownPids }
    : { ownPids, cgroupPath: cgroupDirectoryOf(linux.cgroupsPath) };
}
