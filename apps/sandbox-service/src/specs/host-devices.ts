import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { quote, RuntimeError } from '@gantry/errors';
import type { OciDevice } from '@gantry/oci';
import type { ResolvedDevice } from '@gantry/oci-spec';
import type { Device } from '@gantry/proto';
import { checkPathLength } from '../client-text.ts';
import { isBadPath, isMissing } from '../errno.ts';

// Made anew for each container, or no devices at all.
const skipped = new Set([
  'pts',
  'shm',
  'fd',
  'mqueue',
  '.lxc',
  '.lxd-mounts',
  '.udev',
  'hugepages',
]);

/** Every device node below a directory of the host, as the same path inside. */
export async function devicesBelow(directory: string): Promise<readonly OciDevice[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const found = await Promise.all(
    entries.map(async (entry): Promise<readonly OciDevice[]> => {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) {
        return skipped.has(entry.name) ? [] : devicesBelow(path);
      }
      if (entry.name === 'console' || !(entry.isCharacterDevice() || entry.isBlockDevice())) {
        return [];
      }
      const device = await deviceAt(path);
      return device === undefined ? [] : [device];
    }),
  );
  return found.flat();
}

/** The nodes that a CRI device stands for: one, or all in a directory. */
export async function resolveDevice(device: Device): Promise<readonly ResolvedDevice[]> {
  const { hostPath, containerPath, permissions: wanted } = device;
  const permissions = wanted === '' ? 'rwm' : wanted;
  const field = `config.devices: host_path ${quote(hostPath)}`;
  if (!hostPath.startsWith('/') || hostPath.includes('\0')) {
    throw new RuntimeError('invalid-argument', `${field}: is no absolute path`);
  }
  checkPathLength('config.devices: host_path', hostPath);
  let source: string;
  try {
    source = await realpath(hostPath);
  } catch (cause) {
    if (isBadPath(cause)) {
      throw new RuntimeError('invalid-argument', `${field}: not there`, { cause });
    }
    throw cause;
  }
  const target = containerPath === '' ? hostPath : containerPath;
  if ((await lstat(source)).isDirectory()) {
    const nodes = await devicesBelow(source);
    return nodes.map((node) => ({
      device: { ...node, path: join(target, node.path.slice(source.length)) },
      permissions,
    }));
  }
  const node = await deviceAt(source);
  if (node === undefined) {
    throw new RuntimeError('invalid-argument', `${field}: not a device`);
  }
  return [{ device: { ...node, path: target }, permissions }];
}

/** The device node at a path; undefined when nothing or something else is there. */
export async function deviceAt(
  path: string,
  { follow = false } = {},
): Promise<OciDevice | undefined> {
  const stats = await (follow ? stat : lstat)(path).catch((error: unknown) => {
    if (isMissing(error)) {
      return undefined;
    }
    throw error;
  });
  if (stats === undefined || !(stats.isCharacterDevice() || stats.isBlockDevice())) {
    return undefined;
  }
  return {
    path,
    type: stats.isBlockDevice() ? 'b' : 'c',
    major: majorOf(stats.rdev),
    minor: minorOf(stats.rdev),
    fileMode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
  };
}

// As the C library packs them (sys/sysmacros.h); numbers above 32 bits do not occur for devices.
function majorOf(rdev: number): number {
  return (rdev >>> 8) & 0xfff;
}

function minorOf(rdev: number): number {
  return (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
}
