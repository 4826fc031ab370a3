import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '@gantry/errors';
import { missingTool, type RunResult } from '@gantry/host';
import type { HostFacts } from '@gantry/oci-spec';

/** The profile of containers that ask for RuntimeDefault, or for nothing. */
export const defaultProfile = 'gantry-default';

interface Host {
  /** '/' but in tests. */
  readonly root: string;
}

const realHost: Host = { root: '/' };

/** The AppArmor facts of this moment; undefined where it is off. */
export async function appArmorFacts(host = realHost): Promise<HostFacts['appArmor']> {
  const enabled = await textOf(host, 'sys/module/apparmor/parameters/enabled');
  if (enabled?.trim() !== 'Y') {
    return undefined;
  }
  // One "name (mode)" a line.
  const profiles = (await textOf(host, 'sys/kernel/security/apparmor/profiles')) ?? '';
  return {
    defaultProfile,
    profiles: profiles
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.replace(/ \([a-z]+\)$/, '')),
  };
}

interface Loader extends Host {
  /** The path of apparmor_parser; undefined where it is not installed. */
  readonly parser: string | undefined;
  readonly run: (
    parser: string,
    args: readonly string[],
    stdin: string,
  ) => Promise<Pick<RunResult, 'exitCode' | 'stderr'>>;
}

/**
 * Has the kernel know the default profile, where it has AppArmor. Returns why
 * that can't be: containers that ask for RuntimeDefault are refused then, all
 * others run without a profile.
 */
export async function loadDefaultProfile(host: Loader): Promise<string | undefined> {
  const facts = await appArmorFacts(host);
  if (facts === undefined) {
    return undefined;
  }
  if (host.parser === undefined) {
    return facts.profiles.includes(defaultProfile) ? undefined : missingTool('apparmor_parser');
  }
  const abstractions = await textOf(host, 'etc/apparmor.d/abstractions/base');
  const tunables = await textOf(host, 'etc/apparmor.d/tunables/global');
  const text = profileText({
    base: abstractions !== undefined,
    tunables: tunables !== undefined,
    // What runs unconfined now may be told to stop: the runtime itself, and we.
    daemon: (await textOf(host, 'proc/self/attr/apparmor/current'))?.trim() ?? 'unconfined',
  });
  try {
    // -K: no cache that another version may have written; -r: also in place of an older one.
    const { exitCode, stderr } = await host.run(host.parser, ['-K', '-r'], text);
    return exitCode === 0 ? undefined : `apparmor_parser: ${stderr.toString().trim()}`;
  } catch (error) {
    return `apparmor_parser: ${messageOf(error)}`;
  }
}

/**
 * What a container may not do under the default profile: write to the kernel's
 * settings, look at its memory, mount, or trace what is not of its profile.
 */
export function profileText(o: {
  readonly base: boolean;
  readonly tunables: boolean;
  readonly daemon: string;
}): string {
  const peer = o.daemon.replace(/ \([a-z]+\)$/, '');
  const denied = [
    '@{PROC}/* w,',
    '@{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9]*}/** w,',
    '@{PROC}/sys/[^k]** w,',
    '@{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,',
    '@{PROC}/sysrq-trigger rwklx,',
    '@{PROC}/mem rwklx,',
    '@{PROC}/kmem rwklx,',
    '@{PROC}/kcore rwklx,',
    'mount,',
    '/sys/[^f]*/** wklx,',
    '/sys/f[^s]*/** wklx,',
    '/sys/fs/[^c]*/** wklx,',
    '/sys/fs/c[^g]*/** wklx,',
    '/sys/fs/cg[^r]*/** wklx,',
    '/sys/firmware/** rwklx,',
    '/sys/devices/virtual/powercap/** rwklx,',
    '/sys/kernel/security/** rwklx,',
  ];
  const rules = [
    ...(o.base ? ['#include <abstractions/base>'] : []),
    'network,',
    'capability,',
    'file,',
    'umount,',
    `signal (receive) peer=${quoted(peer)},`,
    `signal (send,receive) peer=${defaultProfile},`,
    ...denied.map((rule) => `deny ${rule}`),
    `ptrace (trace,read,tracedby,readby) peer=${defaultProfile},`,
  ];
  return [
    o.tunables ? '#include <tunables/global>' : '@{PROC}=/proc/',
    '',
    `profile ${defaultProfile} flags=(attach_disconnected,mediate_deleted) {`,
    ...rules.map((rule) => `  ${rule}`),
    '}',
    '',
  ].join('\n');
}

function quoted(name: string): string {
  return /^[\w.:/-]+$/.test(name) ? name : `"${name.replaceAll('"', '')}"`;
}

async function textOf({ root }: Host, path: string): Promise<string | undefined> {
  try {
    return await readFile(join(root, path), 'utf8');
  } catch {
    return undefined;
  }
}
