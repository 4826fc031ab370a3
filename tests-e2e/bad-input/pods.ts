import { NamespaceMode, SecurityProfile_ProfileType as ProfileType } from '@gantry/proto';
import { type BadRequest, invalid, type Refusal, unheardOf } from './bad-request.ts';

const metadata = { name: 'bad', namespace: 'e2e', uid: 'u-1', attempt: 0 };
const megabyte = 'm'.repeat(1 << 20);
const port = { protocol: 0, containerPort: 80, hostPort: 8080, hostIp: '' };

/** Fields of a pod's config, and what is said of them. */
const configs: Readonly<Record<string, readonly [object, Refusal]>> = {
  'no metadata': [{ metadata: undefined }, invalid(/metadata: missing/)],
  'no name': [{ metadata: { ...metadata, name: '' } }, invalid(/metadata\.name/)],
  'no namespace': [{ metadata: { ...metadata, namespace: '' } }, invalid(/metadata\.namespace/)],
  'no uid': [{ metadata: { ...metadata, uid: '' } }, invalid(/metadata\.uid/)],
  'a name that sets other arguments of plugins': [
    { metadata: { ...metadata, name: 'a;K8S_POD_UID=root' } },
    invalid(/K8S_POD_UID=root/),
  ],
  'a name of two lines': [{ metadata: { ...metadata, name: 'a\nb' } }, invalid(/name/)],
  'a name with a NUL': [{ metadata: { ...metadata, name: 'a\0b' } }, invalid(/name/)],
  'a name that is a path': [{ metadata: { ...metadata, name: '../../etc' } }, invalid(/name/)],
  'a name of a megabyte': [{ metadata: { ...metadata, name: megabyte } }, invalid(/name/)],
  'a namespace that is a path': [
    { metadata: { ...metadata, namespace: '../kube-system' } },
    invalid(/^run pod sandbox: config\.metadata\.namespace/),
  ],
  'a uid of a megabyte': [{ metadata: { ...metadata, uid: megabyte } }, invalid(/metadata\.uid/)],
  'a uid that is a path': [{ metadata: { ...metadata, uid: '/../../etc' } }, invalid(/uid/)],
  'a hostname that is too long': [{ hostname: 'h'.repeat(65) }, invalid(/hostname: longer/)],
  'a hostname of two lines': [{ hostname: 'a\n127.0.0.1 b' }, invalid(/hostname/)],
  'a hostname with a NUL': [{ hostname: 'a\0b' }, invalid(/hostname/)],
  'a relative log directory': [{ logDirectory: 'var/log' }, invalid(/log_directory/)],
  'a log directory with ..': [{ logDirectory: '/var/log/../../etc' }, invalid(/log_directory/)],
  'a log directory with a NUL': [{ logDirectory: '/tmp/a\0b' }, invalid(/log_directory/)],
  // Node would try to make it for ever.
  'a log directory in /proc': [
    { logDirectory: '/proc/no-such/logs' },
    invalid(/e2e\/bad: files: config\.log_directory.*\/proc\/no-such/),
  ],
  'a log directory below a device': [
    { logDirectory: '/dev/null/logs' },
    invalid(/log_directory.*\/dev\/null/),
  ],
  'a log directory of a megabyte': [
    { logDirectory: `/${megabyte}` },
    invalid(/log_directory.*longer/),
  ],
  'a log directory with a part that is too long': [
    { logDirectory: `/tmp/${'l'.repeat(256)}` },
    invalid(/log_directory/),
  ],
  'a name server with a NUL': [
    { dnsConfig: { servers: ['1.1.1.1\0'], searches: [], options: [] } },
    invalid(/dns_config/),
  ],
  'a name server of two lines': [
    { dnsConfig: { servers: ['1.1.1.1\noptions x'], searches: [], options: [] } },
    invalid(/dns_config/),
  ],
  'a host port that is none': [
    { portMappings: [{ ...port, hostPort: 70_000 }] },
    invalid(/host_port.*70000/),
  ],
  'a negative container port': [
    { portMappings: [{ ...port, containerPort: -1 }] },
    invalid(/container_port.*-1/),
  ],
  'a host port without a container port': [
    { portMappings: [{ ...port, containerPort: 0 }] },
    invalid(/container_port/),
  ],
  'an unknown protocol': [
    { portMappings: [{ ...port, protocol: unheardOf() }] },
    invalid(/protocol.*42/),
  ],
  'a host address that is none': [
    { portMappings: [{ ...port, hostIp: '; reboot' }] },
    invalid(/host_ip.*reboot/),
  ],
  'the same host port twice': [
    { portMappings: [port, { ...port, containerPort: 81 }] },
    invalid(/host_port.*8080.*twice/),
  ],
  'a bandwidth that is none': [
    { annotations: { 'kubernetes.io/ingress-bandwidth': 'fast' } },
    invalid(/ingress-bandwidth.*fast/),
  ],
  'a negative bandwidth': [
    { annotations: { 'kubernetes.io/egress-bandwidth': '-5M' } },
    invalid(/egress-bandwidth/),
  ],
};

const mapping = (hostId: number, length: number) => ({
  mode: NamespaceMode.POD,
  uids: [{ containerId: 0, hostId, length }],
  gids: [{ containerId: 0, hostId, length }],
});

const security: Readonly<Record<string, readonly [object, Refusal]>> = {
  'the network of a container': [
    { namespaceOptions: { network: NamespaceMode.CONTAINER } },
    invalid(/network: must be POD or NODE/),
  ],
  'an ipc mode that is none': [
    { namespaceOptions: { ipc: unheardOf() } },
    invalid(/ipc: must be POD or NODE/),
  ],
  'a pid mode that is none': [{ namespaceOptions: { pid: unheardOf() } }, invalid(/pid/)],
  'the processes of a target': [
    { namespaceOptions: { pid: NamespaceMode.TARGET, targetId: 'abc' } },
    invalid(/pid: TARGET/),
  ],
  'a user namespace without mappings': [
    { namespaceOptions: { usernsOptions: { mode: NamespaceMode.POD } } },
    invalid(/userns_options/),
  ],
  'a user namespace that maps nothing': [
    { namespaceOptions: { usernsOptions: mapping(100_000, 0) } },
    invalid(/userns_options/),
  ],
  'a user namespace beyond the last id': [
    { namespaceOptions: { usernsOptions: mapping(4_294_967_290, 65_536) } },
    invalid(/userns_options/),
  ],
  'a user namespace of another pod': [
    { namespaceOptions: { usernsOptions: { mode: NamespaceMode.TARGET } } },
    invalid(/e2e\/bad: userns_options/),
  ],
  'mappings for the users of the host': [
    { namespaceOptions: { usernsOptions: { ...mapping(100_000, 1), mode: NamespaceMode.NODE } } },
    invalid(/userns_options.*NODE/),
  ],
  'a user namespace of two ranges': [
    {
      namespaceOptions: {
        usernsOptions: {
          ...mapping(100_000, 10),
          uids: [0, 10].map((containerId) => ({ containerId, hostId: 200_000, length: 10 })),
        },
      },
    },
    invalid(/userns_options\.uids/),
  ],
  'a user namespace with the processes of the host': [
    {
      namespaceOptions: { pid: NamespaceMode.NODE, usernsOptions: mapping(100_000, 65_536) },
    },
    invalid(/namespace_options\.pid: NODE.*userns_options/),
  ],
  'a group over 2^31': [
    { runAsUser: { value: 1n }, runAsGroup: { value: 2n ** 32n } },
    invalid(/4294967296/),
  ],
  'the greatest group': [
    { supplementalGroups: [2n ** 63n - 1n] },
    invalid(/supplemental_groups.*9223372036854775807/),
  ],
  'a policy of groups that is none': [
    { supplementalGroupsPolicy: unheardOf() },
    invalid(/supplemental_groups_policy/),
  ],
  'an SELinux level that is none': [
    { selinuxOptions: { user: '', role: '', type: '', level: 's0:zz' } },
    invalid(/selinux_options.*s0:zz/),
  ],
  'an AppArmor profile that nobody loaded': [
    { apparmor: { profileType: ProfileType.Localhost, localhostRef: 'no-such-profile' } },
    { kind: 'failed-precondition', message: /apparmor/i },
  ],
  'a seccomp profile that is a directory': [
    { seccomp: { profileType: ProfileType.Localhost, localhostRef: '/etc' } },
    invalid(/seccomp.*\/etc/),
  ],
  'a relative seccomp profile in the old field': [
    { seccompProfilePath: 'localhost/../../etc/passwd' },
    invalid(/seccomp.*etc\/passwd/),
  ],
  'a negative user': [{ runAsUser: { value: -1n } }, invalid(/-1/)],
  'a user over 2^31': [{ runAsUser: { value: 2n ** 31n } }, invalid(/2147483648/)],
  'a user that overflows to root': [{ runAsUser: { value: 2n ** 32n } }, invalid(/4294967296/)],
  'a group without a user': [{ runAsGroup: { value: 5n } }, invalid(/run_as_group/)],
  'a negative group': [{ supplementalGroups: [-1n] }, invalid(/supplemental_groups.*-1/)],
  'a seccomp profile that is not there': [
    { seccomp: { profileType: ProfileType.Localhost, localhostRef: '/no/such.json' } },
    invalid(/\/no\/such\.json/),
  ],
  'a relative seccomp profile': [
    { seccomp: { profileType: ProfileType.Localhost, localhostRef: '../../etc/passwd' } },
    invalid(/seccomp.*etc\/passwd/),
  ],
  'a seccomp type that is none': [
    { seccomp: { profileType: unheardOf(), localhostRef: '' } },
    invalid(/seccomp/),
  ],
};

const onNode = (options: object) => ({ securityContext: { namespaceOptions: options } });

const linux: Readonly<Record<string, readonly [object, Refusal]>> = {
  ...Object.fromEntries(
    Object.entries(security).map(([what, [securityContext, expected]]) => [
      what,
      [{ securityContext }, expected] as const,
    ]),
  ),
  'a cgroup parent with ..': [{ cgroupParent: '/../../x' }, invalid(/cgroup_parent/)],
  'a cgroup parent with a NUL': [{ cgroupParent: '/a\0b' }, invalid(/cgroup_parent/)],
  'a cgroup parent with a part that is too long': [
    { cgroupParent: `/${'c'.repeat(256)}` },
    invalid(/cgroup_parent/),
  ],
  'a cgroup parent of a megabyte': [
    { cgroupParent: '/c'.repeat(1 << 19) },
    invalid(/e2e\/bad: config\.linux\.cgroup_parent/),
  ],
  'a cgroup parent of two lines': [{ cgroupParent: '/a\nb' }, invalid(/cgroup_parent/)],
  'a sysctl without a name': [{ sysctls: { '': '1' } }, invalid(/sysctl ""/)],
  'a sysctl of a megabyte': [
    { sysctls: { [`net.ipv4.${megabyte}`]: '1' } },
    invalid(/e2e\/bad: \w+: .*sysctl/),
  ],
  'a value of a sysctl that the kernel refuses': [
    { sysctls: { 'net.ipv4.ip_forward': 'banana' } },
    invalid(/config\.linux\.sysctls: .*net\/ipv4\/ip_forward/),
  ],
  'a file of the cgroup that is a path': [
    { resources: { unified: { '../../x': '1' } } },
    invalid(/resources: unified: "\.\.\/\.\.\/x"/),
  ],
  'a sysctl that is a path': [
    { sysctls: { '../../../etc/passwd': 'x' } },
    invalid(/sysctl.*\.\.\/etc\/passwd/),
  ],
  'a sysctl with .. behind a good beginning': [
    { sysctls: { 'net/../vm/swappiness': '1' } },
    invalid(/sysctl.*swappiness/),
  ],
  'a sysctl of the whole node': [{ sysctls: { 'vm.swappiness': '1' } }, invalid(/vm\.swappiness/)],
  'a sysctl that is not there': [
    { sysctls: { 'net.ipv4.no_such_thing': '1' } },
    // Only the kernel knows, and the OCI runtime asks it.
    invalid(/config\.linux\.sysctls: .*no_such_thing/),
  ],
  'a value of a sysctl with a NUL': [
    { sysctls: { 'net.ipv4.ip_forward': '1\0' } },
    invalid(/net\.ipv4\.ip_forward/),
  ],
  'a sysctl of the network on the host network': [
    { sysctls: { 'net.ipv4.ip_forward': '1' }, ...onNode({ network: NamespaceMode.NODE }) },
    invalid(/net\.ipv4\.ip_forward.*host/),
  ],
  'a sysctl of ipc on the host ipc': [
    { sysctls: { 'kernel.shm_rmid_forced': '1' }, ...onNode({ ipc: NamespaceMode.NODE }) },
    invalid(/kernel\.shm_rmid_forced.*host/),
  ],
  'negative overhead': [{ overhead: { cpuShares: -1n } }, invalid(/cpu_shares/)],
  'negative resources': [{ resources: { memoryLimitInBytes: -2n } }, invalid(/memory_limit/)],
};

export const podRequests: readonly BadRequest[] = [
  {
    rpc: 'runPodSandbox',
    what: 'no config',
    call: ({ stack }) => stack.runtime.runPodSandbox({}),
    expected: invalid(/metadata/),
  },
  ...[...Object.entries(configs), ...Object.entries(linux).map(asConfig)].map(
    ([what, [config, expected]]): BadRequest => ({
      rpc: 'runPodSandbox',
      what,
      call: (fixture) => fixture.runPod(config),
      expected,
    }),
  ),
  ...['nope', '../../bin/sh', 'a\0b', 'a\nb', megabyte].map(
    (handler): BadRequest => ({
      rpc: 'runPodSandbox',
      what: `the handler ${handler.slice(0, 20)}`,
      call: (fixture) => fixture.runPod({}, handler),
      expected: invalid(/^run pod sandbox e2e\/bad: runtime handler/),
    }),
  ),
  {
    rpc: 'runPodSandbox',
    what: 'a log directory that is a file',
    call: ({ runPod, dir }) => runPod({ logDirectory: `${dir}/file` }),
    expected: invalid(/log_directory.*file/),
  },
  {
    rpc: 'updatePodSandboxResources',
    what: 'negative resources',
    call: ({ stack, pod: { podSandboxId } }) =>
      stack.runtime.updatePodSandboxResources({ podSandboxId, resources: { cpuQuota: -5n } }),
    expected: invalid(/^update resources of pod sandbox [0-9a-f]+: resources: cpu_quota/),
  },
  {
    rpc: 'updatePodSandboxResources',
    what: 'negative overhead',
    call: ({ stack, pod: { podSandboxId } }) =>
      stack.runtime.updatePodSandboxResources({ podSandboxId, overhead: { cpuShares: -5n } }),
    expected: invalid(/^update resources of pod sandbox [0-9a-f]+: overhead: cpu_shares/),
  },
  {
    rpc: 'updatePodSandboxResources',
    what: 'a file of the cgroup that is a path',
    call: ({ stack, pod: { podSandboxId } }) =>
      stack.runtime.updatePodSandboxResources({
        podSandboxId,
        resources: { unified: { '../x': '1' } },
      }),
    expected: invalid(/unified/),
  },
  ...[
    'banana',
    '10.0.0.0/99',
    '10.0.0.0/24\nx',
    '300.0.0.0/24',
    '10.0.0.0/24,',
    'a\0b',
    megabyte,
  ].map(
    (podCidr): BadRequest => ({
      rpc: 'updateRuntimeConfig',
      what: `the pod CIDR ${JSON.stringify(podCidr.slice(0, 40))}`,
      call: ({ stack }) =>
        stack.runtime.updateRuntimeConfig({ runtimeConfig: { networkConfig: { podCidr } } }),
      expected: invalid(
        /^update runtime config: network_config\.pod_cidr: "[^\n]*"[^\n]* is no range/,
      ),
    }),
  ),
];

function asConfig([what, [value, expected]]: [string, readonly [object, Refusal]]): [
  string,
  readonly [object, Refusal],
] {
  return [what, [{ linux: value }, expected]];
}
