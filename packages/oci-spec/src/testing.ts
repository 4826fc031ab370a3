import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type ContainerConfig,
  ContainerConfigSchema,
  type PodSandboxConfig,
  PodSandboxConfigSchema,
} from '@gantry/proto';
import { capabilityNames } from './capability-names.ts';
import type {
  ContainerSpecInput,
  HostFacts,
  ImageDefaults,
  PauseSpecInput,
  SandboxFacts,
} from './spec-input.ts';

/** Some fields of a CRI config. */
export type ContainerInit = Exclude<
  MessageInitShape<typeof ContainerConfigSchema>,
  ContainerConfig
>;
export type PodInit = Exclude<MessageInitShape<typeof PodSandboxConfigSchema>, PodSandboxConfig>;

/** An x86-64 host with cgroup v1, all capabilities and neither AppArmor nor SELinux. */
export const plainHost: HostFacts = {
  kernel: { major: 6, minor: 1 },
  arch: 'x64',
  cgroupVersion: 1,
  hugepageSizes: ['2MB', '1GB'],
  swapAccounting: true,
  seccomp: true,
  selinux: false,
  capabilities: capabilityNames,
  lowestOomScoreAdj: -1000,
  maxOpenFiles: 1_048_576,
  devices: [],
  recursiveReadOnly: true,
  idmapMounts: false,
};

/** An image that runs `/bin/app serve` as root. */
export const plainImage: ImageDefaults = {
  user: '',
  env: ['PATH=/usr/bin:/bin', 'LANG=C.UTF-8'],
  entrypoint: ['/bin/app'],
  cmd: ['serve'],
  workingDir: '/srv',
  stopSignal: '',
};

/** A pod with pause container 4242; `config` is its CRI config. */
export function plainSandbox(
  config: PodInit = {},
  changes: Partial<SandboxFacts> = {},
): SandboxFacts {
  return {
    id: 'pod1',
    config: create(PodSandboxConfigSchema, {
      metadata: { name: 'web', namespace: 'default', uid: 'u-1', attempt: 0 },
      hostname: 'web',
      logDirectory: '/var/log/pods/web',
      ...config,
    }),
    hostname: 'web',
    cgroupParent: '/kubepods/besteffort/podu-1',
    systemdCgroup: false,
    namespaces: {
      network: '/run/netns/pod1',
      ipc: '/proc/4242/ns/ipc',
      uts: '/proc/4242/ns/uts',
      pid: '/proc/4242/ns/pid',
    },
    hostnamePath: '/pods/pod1/hostname',
    hostsPath: '/pods/pod1/hosts',
    resolvConfPath: '/pods/pod1/resolv.conf',
    shmPath: '/pods/pod1/shm',
    ...changes,
  };
}

/** The input for a container of `plainSandbox` that uses `config`. */
export function containerInput(
  config: ContainerInit = {},
  changes: Partial<ContainerSpecInput> = {},
): ContainerSpecInput {
  return {
    host: plainHost,
    image: plainImage,
    rootPath: '/containers/c1/rootfs',
    passwd: '',
    group: '',
    openFiles: 0,
    id: 'c1',
    config: create(ContainerConfigSchema, {
      metadata: { name: 'app', attempt: 0 },
      image: { image: 'sha256:1', userSpecifiedImage: 'example.org/app:1' },
      ...config,
    }),
    sandbox: plainSandbox(),
    mounts: [],
    volumes: [],
    devices: [],
    ...changes,
  };
}

/** The input for the pause container of a pod. */
export function pauseInput(changes: Partial<PauseSpecInput> = {}): PauseSpecInput {
  return {
    host: plainHost,
    image: { ...plainImage, entrypoint: ['/pause'], cmd: [], workingDir: '' },
    rootPath: '/pods/pod1/rootfs',
    passwd: '',
    group: '',
    openFiles: 0,
    sandbox: plainSandbox({}, { namespaces: { network: '/run/netns/pod1' } }),
    unprivilegedPorts: true,
    unprivilegedIcmp: true,
    ...changes,
  };
}
