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
  'a uid that is a path': [{ metadata: { ...metadata, uid: '/../../etc' } }, invalid(/uid/)],
  'a hostname that is too long': [{ hostname: 'h'.repeat(65) }, invalid(/hostname: longer/)],
  'a hostname of two lines': [{ hostname: 'a\n127.0.0.1 b' }, invalid(/hostname/)],
  'a hostname with a NUL': [{ hostname: 'a\0b' }, invalid(/hostname/)],
  'a relative log directory': [{ logDirectory: 'var/log' }, invalid(/log_directory/)],
  'a log directory with ..': [{ logDirectory: '/var/log/../../etc' }, invalid(/log_directory/)],
  'a log directory with a NUL': [{ logDirectory: '/tmp/a\0b' }, invalid(/log_directory/)],
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
    { kind: 'internal', message: /no_such_thing/ },
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
  ...['nope', '../../bin/sh', megabyte].map(
    (handler): BadRequest => ({
      rpc: 'runPodSandbox',
      what: `the handler ${handler.slice(0, 20)}`,
      call: (fixture) => fixture.runPod({}, handler),
      expected: invalid(/runtime handler/),
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
    expected: invalid(/cpu_quota/),
  },
  {
    rpc: 'updatePodSandboxResources',
    what: 'negative overhead',
    call: ({ stack, pod: { podSandboxId } }) =>
      stack.runtime.updatePodSandboxResources({ podSandboxId, overhead: { cpuShares: -5n } }),
    expected: invalid(/cpu_shares/),
  },
  ...['banana', '10.0.0.0/99', '10.0.0.0/24\nx', '300.0.0.0/24', '10.0.0.0/24,'].map(
    (podCidr): BadRequest => ({
      rpc: 'updateRuntimeConfig',
      what: `the pod CIDR ${JSON.stringify(podCidr)}`,
      call: ({ stack }) =>
        stack.runtime.updateRuntimeConfig({ runtimeConfig: { networkConfig: { podCidr } } }),
      expected: invalid(/pod_cidr/),
    }),
  ),
];

function asConfig([what, [value, expected]]: [string, readonly [object, Refusal]]): [
  string,
  readonly [object, Refusal],
] {
  return [what, [{ linux: value }, expected]];
}
