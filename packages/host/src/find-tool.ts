import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';

// A service started by hand or by cron may lack the sbin directories in its PATH.
const alwaysSearched = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'];

const packages: Readonly<Record<string, string>> = {
  apparmor_parser: 'apparmor',
  bridge: 'containernetworking-plugins',
  busybox: 'busybox-static',
  catatonit: 'catatonit',
  conmon: 'conmon',
  containerd: 'containerd',
  criu: 'criu',
  crun: 'crun',
  debootstrap: 'debootstrap',
  'docker-registry': 'docker-registry',
  dumpe2fs: 'e2fsprogs',
  'fuse-overlayfs': 'fuse-overlayfs',
  git: 'git',
  'host-local': 'containernetworking-plugins',
  ip: 'iproute2',
  ip6tables: 'iptables',
  'ip6tables-save': 'iptables',
  iptables: 'iptables',
  'iptables-save': 'iptables',
  loopback: 'containernetworking-plugins',
  mke2fs: 'e2fsprogs',
  'mkfs.erofs': 'erofs-utils',
  mount: 'mount',
  'nats-server': 'nats-server',
  nft: 'nftables',
  nsenter: 'util-linux',
  openssl: 'openssl',
  podman: 'podman',
  portmap: 'containernetworking-plugins',
  ps: 'procps',
  'qemu-system-x86_64': 'qemu-system-x86',
  runc: 'runc',
  skopeo: 'skopeo',
  socat: 'socat',
  strace: 'strace',
  systemctl: 'systemd',
  tar: 'tar',
  umount: 'mount',
  unshare: 'util-linux',
};

/** The absolute path of an executable, from PATH and the sbin directories; a path is only checked. */
export function findTool(name: string): string | undefined {
  if (name.includes('/')) {
    return isExecutable(name) ? name : undefined;
  }
  const directories = (process.env['PATH'] ?? '').split(':').filter((d) => d.startsWith('/'));
  for (const directory of [...directories, ...alwaysSearched]) {
    const path = join(directory, name);
    if (isExecutable(path)) {
      return path;
    }
  }
  return undefined;
}

/** The Debian package (bookworm and later) that brings a tool; undefined for tools that we do not know. */
export function toolPackage(name: string): string | undefined {
  return packages[name.slice(name.lastIndexOf('/') + 1)];
}

/** `runc is missing: install Debian package runc`. */
export function missingTool(name: string): string {
  const debian = toolPackage(name);
  return debian === undefined
    ? `${name} is missing`
    : `${name} is missing: install Debian package ${debian}`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
