import { findTool, toolPackage } from './find-tool.ts';

/** What the tests of Gantry drive, beside Node: names, and paths of what is in no PATH. */
export const testTools: readonly string[] = [
  'runc',
  'crun',
  'conmon',
  'nats-server',
  'docker-registry',
  'skopeo',
  'podman',
  'openssl',
  'catatonit',
  '/usr/lib/cni/bridge',
  'iptables',
  'ip',
  'unshare',
  'ps',
  'git',
];

/** What a virtual machine is made and run with. */
export const vmTools: readonly string[] = ['qemu-system-x86_64', 'debootstrap', 'mke2fs'];

/** What is measured beside Gantry. */
export const benchTools: readonly string[] = ['containerd'];

/** The Debian packages of those that are not there. */
export function missingPackages(tools: readonly string[]): string[] {
  const missing = tools.filter((tool) => findTool(tool) === undefined);
  return [...new Set(missing.map((tool) => toolPackage(tool) ?? tool))];
}
