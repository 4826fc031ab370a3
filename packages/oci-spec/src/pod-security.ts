import type { OciSeccomp, OciUser } from '@gantry/oci';
import type { LinuxSandboxSecurityContext } from '@gantry/proto';
import { apparmorProfileOf } from './apparmor.ts';
import { capabilitiesOf } from './capabilities.ts';
import { resolveUser, type UserRequest } from './resolve-user.ts';
import type { SeccompProfile } from './seccomp/profile.ts';
import { seccompOf, seccompRequestOf } from './seccomp/seccomp.ts';
import { checkSelinux } from './selinux.ts';
import type { HostFacts } from './spec-input.ts';

/** What the security context of a pod is read with. */
export interface PodSecurityInput {
  readonly host: Pick<
    HostFacts,
    'appArmor' | 'arch' | 'capabilities' | 'kernel' | 'seccomp' | 'selinux'
  >;
  /** Absent where nobody hands SELinux labels out. */
  readonly selinux?: object | undefined;
  /** Of the pause program's image; without one the pod names its users by number alone. */
  readonly accounts?: Pick<UserRequest, 'imageUser' | 'passwd' | 'group'>;
  /** Parsed, where `seccompRequestOf` says that one is wanted. */
  readonly localhostSeccomp?: SeccompProfile | undefined;
}

export interface PodSecurity {
  readonly user: OciUser;
  readonly apparmorProfile: string | undefined;
  readonly seccomp: OciSeccomp | undefined;
}

const noAccounts = { imageUser: '', passwd: '', group: '' };

/**
 * What the pause container of a pod runs as and under. A pod without one has it read all the same:
 * what can't be had is refused, whatever holds the namespaces of the pod. Throws `invalid-argument`
 * for values that make no sense, `failed-precondition` for what this host has not.
 */
export function podSecurityOf(
  security: LinuxSandboxSecurityContext,
  { host, selinux, accounts = noAccounts, localhostSeccomp }: PodSecurityInput,
): PodSecurity {
  checkSelinux(security.selinuxOptions, { host, selinux }, security.privileged);
  const granted = capabilitiesOf({ privileged: false }, host.capabilities).bounding;
  return {
    apparmorProfile:
      security.apparmor === undefined ? undefined : apparmorProfileOf(security, host.appArmor),
    user: resolveUser({ ...security, ...accounts }),
    seccomp: seccompOf(seccompRequestOf(security), host, granted, localhostSeccomp),
  };
}
