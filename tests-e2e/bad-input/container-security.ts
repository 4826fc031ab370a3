import { NamespaceMode, SecurityProfile_ProfileType as ProfileType } from '@gantry/proto';
import { invalid, type Refusal, unheardOf } from './bad-request.ts';

const seccomp = (localhostRef: string) => ({
  seccomp: { profileType: ProfileType.Localhost, localhostRef },
});

/** Fields of a container's security context, and what is said of them. */
export const security: Readonly<Record<string, readonly [object, Refusal]>> = {
  'a negative user': [{ runAsUser: { value: -1n } }, invalid(/-1/)],
  'a user over 2^31': [{ runAsUser: { value: 2n ** 31n } }, invalid(/2147483648/)],
  'a user that overflows to root': [{ runAsUser: { value: 2n ** 32n } }, invalid(/4294967296/)],
  'the greatest user': [{ runAsUser: { value: 2n ** 63n - 1n } }, invalid(/user/)],
  'a user and a name': [
    { runAsUser: { value: 5n }, runAsUsername: 'app' },
    invalid(/run_as_user.*run_as_username/),
  ],
  'a name that the image lacks': [{ runAsUsername: 'nobody-knows' }, invalid(/nobody-knows/)],
  'a name of a megabyte': [{ runAsUsername: 'n'.repeat(1 << 20) }, invalid(/user "n+"/)],
  'a name with a NUL': [{ runAsUsername: 'a\0b' }, invalid(/a\\u0000b/)],
  'a name of two lines': [{ runAsUsername: 'root\nroot' }, invalid(/root\\nroot/)],
  'a name with a colon': [{ runAsUsername: 'root:0' }, invalid(/root:0/)],
  'a name that is a number over 2^31': [{ runAsUsername: '4294967296' }, invalid(/4294967296/)],
  'a group without a user': [{ runAsGroup: { value: 5n } }, invalid(/run_as_group/)],
  'a group over 2^31': [
    { runAsUser: { value: 1n }, runAsGroup: { value: 2n ** 32n } },
    invalid(/4294967296/),
  ],
  'a negative group': [
    { runAsUser: { value: 1n }, runAsGroup: { value: -1n } },
    invalid(/group: id -1/),
  ],
  'a negative supplemental group': [{ supplementalGroups: [-1n] }, invalid(/-1/)],
  'a supplemental group over 2^31': [{ supplementalGroups: [2n ** 32n] }, invalid(/4294967296/)],
  'a policy of groups that is none': [
    { supplementalGroupsPolicy: unheardOf() },
    invalid(/supplemental_groups_policy/),
  ],
  'a capability that is none': [
    { capabilities: { addCapabilities: ['ROOT'], dropCapabilities: [] } },
    invalid(/ROOT/),
  ],
  'a capability that is a path': [
    { capabilities: { addCapabilities: ['../x'], dropCapabilities: [] } },
    invalid(/add_capabilities.*\.\.\/x/),
  ],
  'a capability of a megabyte': [
    { capabilities: { addCapabilities: [], dropCapabilities: ['C'.repeat(1 << 20)] } },
    invalid(/drop_capabilities/),
  ],
  'an SELinux level that is none': [
    { selinuxOptions: { user: '', role: '', type: '', level: 's0:zz' } },
    invalid(/selinux_options.*s0:zz/),
  ],
  'a privileged container in a pod that is not': [{ privileged: true }, invalid(/privileged/)],
  'a relative seccomp profile': [seccomp('../../etc/passwd'), invalid(/seccomp.*etc\/passwd/)],
  'a seccomp profile that is none': [seccomp('/etc/passwd'), invalid(/seccomp.*\/etc\/passwd/)],
  'a seccomp profile that is a device': [seccomp('/dev/zero'), invalid(/seccomp.*\/dev\/zero/)],
  'a seccomp profile that is a directory': [seccomp('/etc'), invalid(/seccomp.*\/etc/)],
  'a relative seccomp profile in the old field': [
    { seccompProfilePath: 'localhost/../../etc/passwd' },
    invalid(/seccomp.*etc\/passwd/),
  ],
  'an AppArmor profile that is nonsense, in the old field': [
    { apparmorProfile: 'nonsense' },
    invalid(/apparmor_profile.*nonsense/),
  ],
  'a seccomp type that is none': [
    { seccomp: { profileType: unheardOf(), localhostRef: '' } },
    invalid(/seccomp/),
  ],
  'an AppArmor profile that nobody loaded': [
    { apparmor: { profileType: ProfileType.Localhost, localhostRef: 'no-such-profile' } },
    { kind: 'failed-precondition', message: /apparmor/i },
  ],
  'the processes of no container': [
    { namespaceOptions: { pid: NamespaceMode.TARGET, targetId: '' } },
    invalid(/target_id/),
  ],
  'the processes of a container that nobody has': [
    { namespaceOptions: { pid: NamespaceMode.TARGET, targetId: 'e'.repeat(64) } },
    invalid(/target_id/),
  ],
  'a pid mode that is none': [{ namespaceOptions: { pid: unheardOf() } }, invalid(/pid/)],
  'users that the pod has not': [
    {
      namespaceOptions: {
        usernsOptions: {
          mode: NamespaceMode.POD,
          uids: [{ containerId: 0, hostId: 100_000, length: 65_536 }],
          gids: [{ containerId: 0, hostId: 100_000, length: 65_536 }],
        },
      },
    },
    invalid(/userns_options.*pod/),
  ],
  'the network of the host, in a pod with its own': [
    { namespaceOptions: { network: NamespaceMode.NODE } },
    invalid(/namespace_options\.network: NODE/),
  ],
  'the ipc of the host, in a pod with its own': [
    { namespaceOptions: { ipc: NamespaceMode.NODE } },
    invalid(/namespace_options\.ipc: NODE/),
  ],
  'the processes of the host, in a pod with its own': [
    { namespaceOptions: { pid: NamespaceMode.NODE } },
    invalid(/namespace_options\.pid: NODE/),
  ],
  'an ipc mode that is none': [{ namespaceOptions: { ipc: unheardOf() } }, invalid(/ipc/)],
  'a masked path that is relative': [{ maskedPaths: ['proc/x'] }, invalid(/masked_paths/)],
  'a masked path of a megabyte': [
    { maskedPaths: [`/${'m'.repeat(1 << 20)}`] },
    invalid(/masked_paths.*longer/),
  ],
  'a masked path with a NUL': [{ maskedPaths: ['/a\0b'] }, invalid(/masked_paths/)],
  'a read-only path that is relative': [{ readonlyPaths: ['../x'] }, invalid(/readonly_paths/)],
};

/** Limits of a container, and what is said of them. */
export const resources: Readonly<Record<string, readonly [object, Refusal]>> = {
  'negative shares': [{ cpuShares: -1n }, invalid(/cpu_shares/)],
  'a negative period': [{ cpuPeriod: -1n }, invalid(/cpu_period/)],
  'a quota below none': [{ cpuQuota: -2n }, invalid(/cpu_quota/)],
  'a negative limit': [{ memoryLimitInBytes: -2n }, invalid(/memory_limit/)],
  'swap below memory': [
    { memoryLimitInBytes: 100n << 20n, memorySwapLimitInBytes: 50n << 20n },
    invalid(/swap/),
  ],
  'a list of cpus that is none': [{ cpusetCpus: '0-1;reboot' }, invalid(/cpuset_cpus/)],
  'a list of cpus of a megabyte': [{ cpusetCpus: '1,'.repeat(1 << 19) }, invalid(/cpuset_cpus/)],
  'a file of the cgroup that is a path': [
    { unified: { '../../x': '1' } },
    invalid(/unified: "\.\.\/\.\.\/x"/),
  ],
  'no page size': [{ hugepageLimits: [{ pageSize: '', limit: 0n }] }, invalid(/hugepage_limits/)],
  'a list of nodes that is none': [{ cpusetMems: '../0' }, invalid(/cpuset_mems/)],
  'a page size that is none': [
    { hugepageLimits: [{ pageSize: '2 MB/../x', limit: 1n }] },
    invalid(/hugepage/),
  ],
  'an oom score that is none': [{ oomScoreAdj: 5000n }, invalid(/oom_score_adj/)],
  'a negative oom score that is none': [{ oomScoreAdj: -1001n }, invalid(/oom_score_adj/)],
};
