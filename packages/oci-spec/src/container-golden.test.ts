import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type LinuxContainerConfigSchema,
  MountPropagation,
  MountSchema,
  NamespaceMode,
  SecurityProfile_ProfileType as ProfileType,
  SupplementalGroupsPolicy,
} from '@gantry/proto';
import { inUserNamespace, onHost, testGoldens } from './golden-file.ts';
import { containerSpec } from './index.ts';
import type { ResolvedMount } from './spec-input.ts';
import { containerInput, plainHost, plainSandbox } from './testing.ts';

type Linux = Exclude<MessageInitShape<typeof LinuxContainerConfigSchema>, { $typeName: string }>;
const MiB = 1n << 20n;
const bytes = (text: string) => new TextEncoder().encode(text);
const mount = (
  init: Exclude<MessageInitShape<typeof MountSchema>, { $typeName: string }>,
  shared = false,
): ResolvedMount => ({
  request: create(MountSchema, init),
  source: init.hostPath ?? '',
  propagation: { shared, slave: false },
});

const limited: Linux = {
  resources: {
    cpuPeriod: 100_000n,
    cpuQuota: 50_000n,
    cpuShares: 256n,
    cpusetCpus: '0-1',
    cpusetMems: '0',
    memoryLimitInBytes: 128n * MiB,
    oomScoreAdj: 986n,
    hugepageLimits: [
      { pageSize: '2MB', limit: 0n },
      { pageSize: '1Gi', limit: 1024n * MiB },
      { pageSize: '64KB', limit: 0n },
    ],
  },
};

testGoldens({
  'container-plain': () => containerSpec(containerInput()),

  'container-process': () =>
    containerSpec(
      containerInput(
        {
          command: ['/bin/sh', '-c'],
          args: ['exec app'],
          workingDir: '/tmp',
          tty: true,
          envs: [
            { key: 'LANG', value: bytes('de_DE.UTF-8') },
            { key: 'EMPTY', value: bytes('') },
            { key: 'BYTES', value: Uint8Array.of(0x61, 0xff) },
          ],
          linux: {
            securityContext: {
              runAsUser: { value: 1000n },
              runAsGroup: { value: 2000n },
              supplementalGroups: [3000n],
              supplementalGroupsPolicy: SupplementalGroupsPolicy.Merge,
              noNewPrivs: true,
              capabilities: {
                addCapabilities: ['NET_ADMIN'],
                dropCapabilities: ['MKNOD'],
                addAmbientCapabilities: ['NET_BIND_SERVICE'],
              },
            },
          },
        },
        {
          passwd: 'app:x:1000:1000::/:/bin/sh\n',
          group: 'video:x:44:app\n',
          openFiles: 4096,
          rlimits: [{ type: 'RLIMIT_CORE', soft: 0, hard: 0 }],
        },
      ),
    ),

  'container-resources-v1': () =>
    containerSpec(containerInput({ linux: limited }, { pidsLimit: 500 })),

  'container-resources-v2-systemd': () =>
    containerSpec(
      containerInput(
        {
          linux: {
            resources: {
              ...limited.resources,
              memorySwapLimitInBytes: 256n * MiB,
              unified: { 'memory.high': '100000000', 'memory.oom.group': '1' },
            },
          },
        },
        {
          host: { ...plainHost, cgroupVersion: 2 },
          sandbox: plainSandbox(
            {},
            {
              cgroupParent: '/kubepods.slice/kubepods-podu_1.slice',
              systemdCgroup: true,
            },
          ),
        },
      ),
    ),

  'container-security': () =>
    containerSpec(
      containerInput(
        {
          linux: {
            securityContext: {
              readonlyRootfs: true,
              maskedPaths: ['/proc/kcore', '/proc/keys'],
              readonlyPaths: ['/proc/sys'],
              seccomp: { profileType: ProfileType.Localhost, localhostRef: '/profiles/deny.json' },
              apparmor: { profileType: ProfileType.Localhost, localhostRef: 'localhost/strict' },
              selinuxOptions: { level: 's0:c1,c2' },
            },
          },
        },
        {
          host: {
            ...plainHost,
            selinux: true,
            appArmor: { defaultProfile: 'gantry-default', profiles: ['gantry-default', 'strict'] },
          },
          selinux: {
            process: 'system_u:system_r:container_t:s0:c1,c2',
            mount: 'system_u:object_r:container_file_t:s0:c1,c2',
          },
          localhostSeccomp: {
            defaultAction: 'SCMP_ACT_ALLOW',
            rules: [{ names: ['mkdir'], action: 'SCMP_ACT_ERRNO', errnoRet: 13 }],
          },
        },
      ),
    ),

  'container-privileged': () =>
    containerSpec(
      containerInput(
        {
          linux: {
            securityContext: {
              privileged: true,
              seccomp: { profileType: ProfileType.RuntimeDefault },
              maskedPaths: ['/proc/kcore'],
              readonlyPaths: ['/proc/sys'],
              namespaceOptions: { pid: NamespaceMode.CONTAINER },
            },
          },
        },
        {
          host: {
            ...plainHost,
            cgroupVersion: 2,
            appArmor: { defaultProfile: 'gantry-default', profiles: [] },
            devices: [
              { type: 'b', path: '/dev/sda', major: 8, minor: 0, fileMode: 0o660, uid: 0, gid: 6 },
              { type: 'c', path: '/dev/console', major: 5, minor: 1 },
              { type: 'c', path: '/dev/pts/0', major: 136, minor: 0 },
            ],
          },
          sandbox: plainSandbox({ linux: { securityContext: { privileged: true } } }),
        },
      ),
    ),

  'container-on-host': () =>
    containerSpec(
      containerInput(
        { linux: { securityContext: { namespaceOptions: onHost } } },
        {
          sandbox: plainSandbox(
            { linux: { securityContext: { namespaceOptions: onHost } } },
            { namespaces: {}, hostname: 'node-1' },
          ),
        },
      ),
    ),

  'container-target': () =>
    containerSpec(
      containerInput(
        {
          linux: {
            securityContext: {
              namespaceOptions: {
                pid: NamespaceMode.TARGET,
                targetId: 'c0',
                ipc: NamespaceMode.CONTAINER,
              },
            },
          },
        },
        { targetPidNamespace: '/proc/77/ns/pid' },
      ),
    ),

  'container-mounts': () =>
    containerSpec(
      containerInput(
        {},
        {
          mounts: [
            mount({ containerPath: '/data/deep/er', hostPath: '/srv/b', readonly: true }),
            mount({ containerPath: '/data', hostPath: '/srv/a' }),
            mount({ containerPath: '/etc/hosts', hostPath: '/kubelet/etc-hosts' }),
            mount({ containerPath: '/sys', hostPath: '/sys' }),
            mount({
              containerPath: '/ro',
              hostPath: '/srv/ro',
              readonly: true,
              recursiveReadOnly: true,
              mountOptions: ['noexec'],
            }),
            mount(
              {
                containerPath: '/both/',
                hostPath: '/srv/both',
                propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL,
              },
              true,
            ),
            mount(
              {
                containerPath: '/in',
                hostPath: '/srv/in',
                propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
              },
              true,
            ),
          ],
          volumes: [
            { containerPath: '/data', source: '/volumes/1' },
            { containerPath: '/cache', source: '/volumes/2' },
            { containerPath: '/./', source: '/volumes/3' },
          ],
        },
      ),
    ),

  'container-devices': () =>
    containerSpec(
      containerInput(
        {},
        {
          devices: [
            {
              device: { type: 'c', path: '/dev/fuse', major: 10, minor: 229, fileMode: 0o666 },
              permissions: 'rwm',
            },
            { device: { type: 'b', path: '/dev/xvda', major: 8, minor: 0 }, permissions: 'r' },
          ],
        },
      ),
    ),

  'container-owned-devices': () =>
    containerSpec(
      containerInput(
        {
          linux: {
            securityContext: { runAsUser: { value: 1000n }, runAsGroup: { value: 2000n } },
          },
        },
        {
          deviceOwnershipFromSecurityContext: true,
          devices: [
            {
              device: { type: 'c', path: '/dev/fuse', major: 10, minor: 229, uid: 0, gid: 0 },
              permissions: 'rw',
            },
          ],
        },
      ),
    ),

  'container-user-namespace': () =>
    containerSpec(
      containerInput(
        { linux: { securityContext: { namespaceOptions: inUserNamespace } } },
        {
          host: { ...plainHost, cgroupVersion: 2 },
          sandbox: plainSandbox(
            { linux: { securityContext: { namespaceOptions: inUserNamespace } } },
            {
              namespaces: {
                network: '/run/netns/pod1',
                pid: '/proc/4242/ns/pid',
                user: '/proc/4242/ns/user',
              },
            },
          ),
        },
      ),
    ),

  'container-seccomp-default': () =>
    containerSpec(
      containerInput({
        linux: { securityContext: { seccomp: { profileType: ProfileType.RuntimeDefault } } },
      }),
    ),
});
