// oxlint-disable typescript/no-deprecated -- kubelets still send these fields
import {
  MountPropagation,
  NamespaceMode,
  SecurityProfile_ProfileType as ProfileType,
  SupplementalGroupsPolicy,
} from '@gantry/proto';
import { parseSeccompProfile } from './seccomp/parse-profile.ts';
import type { ContainerSpecInput, PauseSpecInput } from './spec-input.ts';
import { type ContainerInit, type PodInit, plainHost, plainSandbox } from './testing.ts';

/** A field by what it changes; for tests. */
export interface Effect {
  readonly without: Variant;
  readonly with: Variant;
}

interface Variant {
  readonly config?: ContainerInit & PodInit;
  readonly changes?: Partial<ContainerSpecInput & PauseSpecInput>;
}

const plain: Variant = {};
type Resources = NonNullable<NonNullable<ContainerInit['linux']>['resources']>;
type Security = NonNullable<NonNullable<ContainerInit['linux']>['securityContext']>;
type PodSecurity = NonNullable<NonNullable<PodInit['linux']>['securityContext']>;

const limits = (resources: Resources, changes = {}): Variant => ({
  config: { linux: { resources } } as ContainerInit & PodInit,
  changes,
});
const secure = (securityContext: Security, changes = {}): Variant => ({
  config: { linux: { securityContext } } as ContainerInit & PodInit,
  changes,
});
const podSecure = (securityContext: PodSecurity, changes = {}): Variant => ({
  config: { linux: { securityContext } } as ContainerInit & PodInit,
  changes,
});
const onHost = (namespaceOptions: NonNullable<PodSecurity['namespaceOptions']>) => ({
  sandbox: plainSandbox({ linux: { securityContext: { namespaceOptions } } }),
});
const only = (variant: Variant): Effect => ({ without: plain, with: variant });
const mounted = (more: object): Variant => ({
  config: { mounts: [{ containerPath: '/data', hostPath: '/srv', ...more }] } as ContainerInit &
    PodInit,
});
const both = (config: object, changes = {}): Variant => ({
  config: config as ContainerInit & PodInit,
  changes,
});

const v2 = { host: { ...plainHost, cgroupVersion: 2 as const } };
const profiles = ['gantry-default', 'strict', 'other'];
const withAppArmor = {
  host: { ...plainHost, appArmor: { defaultProfile: 'gantry-default', profiles } },
};
const localhostSeccomp = parseSeccompProfile('{"defaultAction": "SCMP_ACT_LOG"}', 'test');
const passwd = 'app:x:1000:1000::/:/bin/sh\n';
const group = 'video:x:44:app\n';
const mapping = (more: object = {}) => ({
  containerId: 0,
  hostId: 100_000,
  length: 65_536,
  ...more,
});
const users = (more: object = {}) => ({
  usernsOptions: { mode: NamespaceMode.POD, uids: [mapping()], gids: [mapping()], ...more },
});
/** A container in a pod with the same user namespace. */
const inUsers = (more: object = {}): Variant => {
  const namespaceOptions = users(more);
  const linux = { securityContext: { namespaceOptions } };
  return both(
    { linux },
    {
      sandbox: plainSandbox({ linux } as PodInit, {
        namespaces: { pid: '/proc/4242/ns/pid', user: '/run/userns/pod1' },
      }),
    },
  );
};
const podUsers = (more: object = {}): Variant => podSecure({ namespaceOptions: users(more) });
const mappedMount = (more: object = {}): Variant => ({
  ...mounted({ uidMappings: [mapping()], gidMappings: [mapping()], ...more }),
  changes: { host: { ...plainHost, idmapMounts: true } },
});
const privilegedPod = {
  sandbox: plainSandbox({ linux: { securityContext: { privileged: true } } }),
};
const security = 'container.linux.securityContext';
const podSecurity = 'pod.linux.securityContext';
const localhost = { profileType: ProfileType.Localhost };

/** Ids of a mapping, one by one. */
function mappingEffects(
  way: string,
  key: string,
  variant: (more?: object) => Variant,
): Record<string, Effect> {
  const change = (more: object): Effect => ({
    without: variant(),
    with: variant({ [key]: [mapping(more)] }),
  });
  return {
    [`${way}.hostId`]: change({ hostId: 200_000 }),
    [`${way}.length`]: change({ length: 1000 }),
  };
}

/** What each field of ContainerConfig does. */
export const containerEffects: Readonly<Record<string, Effect>> = {
  'container.metadata.name': only(both({ metadata: { name: 'other' } })),
  'container.image.image': {
    without: both({ image: { image: 'one' } }),
    with: both({ image: { image: 'two' } }),
  },
  'container.image.userSpecifiedImage': {
    without: both({ image: { image: 'one' } }),
    with: both({ image: { image: 'one', userSpecifiedImage: 'one:latest' } }),
  },
  'container.command': only(both({ command: ['/bin/other'] })),
  'container.args': only(both({ args: ['other'] })),
  'container.workingDir': only(both({ workingDir: '/tmp' })),
  'container.envs.key': {
    without: both({ envs: [{ key: 'A', value: Buffer.from('1') }] }),
    with: both({ envs: [{ key: 'B', value: Buffer.from('1') }] }),
  },
  'container.envs.value': {
    without: both({ envs: [{ key: 'A', value: Buffer.from('1') }] }),
    with: both({ envs: [{ key: 'A', value: Buffer.from('2') }] }),
  },
  'container.tty': only(both({ tty: true })),
  'container.mounts.containerPath': {
    without: mounted({}),
    with: mounted({ containerPath: '/x' }),
  },
  'container.mounts.hostPath': { without: mounted({}), with: mounted({ hostPath: '/x' }) },
  'container.mounts.readonly': { without: mounted({}), with: mounted({ readonly: true }) },
  'container.mounts.propagation': {
    without: mounted({}),
    with: mounted({ propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL }),
  },
  ...mappingEffects('container.mounts.uidMappings', 'uidMappings', mappedMount),
  'container.mounts.uidMappings.containerId': {
    without: mappedMount(),
    with: mappedMount({ uidMappings: [mapping({ containerId: 5 })] }),
  },
  ...mappingEffects('container.mounts.gidMappings', 'gidMappings', mappedMount),
  'container.mounts.gidMappings.containerId': {
    without: mappedMount(),
    with: mappedMount({ gidMappings: [mapping({ containerId: 5 })] }),
  },
  'container.mounts.recursiveReadOnly': {
    without: mounted({ readonly: true }),
    with: mounted({ readonly: true, recursiveReadOnly: true }),
  },
  'container.mounts.mountOptions': {
    without: mounted({}),
    with: mounted({ mountOptions: ['noexec'] }),
  },
  'container.linux.resources.cpuPeriod': only(limits({ cpuPeriod: 50_000n })),
  'container.linux.resources.cpuQuota': only(limits({ cpuQuota: 50_000n })),
  'container.linux.resources.cpuShares': only(limits({ cpuShares: 256n })),
  'container.linux.resources.memoryLimitInBytes': only(limits({ memoryLimitInBytes: 1n << 27n })),
  'container.linux.resources.oomScoreAdj': only(limits({ oomScoreAdj: 986n })),
  'container.linux.resources.cpusetCpus': only(limits({ cpusetCpus: '0-1' })),
  'container.linux.resources.cpusetMems': only(limits({ cpusetMems: '0' })),
  'container.linux.resources.hugepageLimits.pageSize': {
    without: limits({ hugepageLimits: [{ pageSize: '2MB', limit: 4n }] }),
    with: limits({ hugepageLimits: [{ pageSize: '1GB', limit: 4n }] }),
  },
  'container.linux.resources.hugepageLimits.limit': {
    without: limits({ hugepageLimits: [{ pageSize: '2MB', limit: 4n }] }),
    with: limits({ hugepageLimits: [{ pageSize: '2MB', limit: 8n }] }),
  },
  'container.linux.resources.unified': {
    without: { changes: v2 },
    with: limits({ unified: { 'memory.high': '1000000' } }, v2),
  },
  'container.linux.resources.memorySwapLimitInBytes': {
    without: limits({ memoryLimitInBytes: 1n << 27n }),
    with: limits({ memoryLimitInBytes: 1n << 27n, memorySwapLimitInBytes: 1n << 28n }),
  },
  [`${security}.capabilities.addCapabilities`]: only(
    secure({ capabilities: { addCapabilities: ['SYS_TIME'] } }),
  ),
  [`${security}.capabilities.dropCapabilities`]: only(
    secure({ capabilities: { dropCapabilities: ['ALL'] } }),
  ),
  [`${security}.capabilities.addAmbientCapabilities`]: only(
    secure({ capabilities: { addAmbientCapabilities: ['NET_BIND_SERVICE'] } }),
  ),
  [`${security}.privileged`]: {
    without: { changes: privilegedPod },
    with: secure({ privileged: true }, privilegedPod),
  },
  [`${security}.namespaceOptions.network`]: {
    without: secure({ namespaceOptions: {} }, onHost({ network: NamespaceMode.NODE })),
    with: secure(
      { namespaceOptions: { network: NamespaceMode.NODE } },
      onHost({ network: NamespaceMode.NODE }),
    ),
  },
  [`${security}.namespaceOptions.pid`]: only(
    secure({ namespaceOptions: { pid: NamespaceMode.CONTAINER } }),
  ),
  [`${security}.namespaceOptions.ipc`]: {
    without: secure({ namespaceOptions: {} }, onHost({ ipc: NamespaceMode.NODE })),
    with: secure(
      { namespaceOptions: { ipc: NamespaceMode.NODE } },
      onHost({ ipc: NamespaceMode.NODE }),
    ),
  },
  [`${security}.namespaceOptions.targetId`]: only(
    secure(
      { namespaceOptions: { pid: NamespaceMode.TARGET, targetId: 'c0' } },
      { targetPidNamespace: '/proc/77/ns/pid' },
    ),
  ),
  [`${security}.namespaceOptions.usernsOptions.mode`]: only(inUsers()),
  ...mappingEffects(`${security}.namespaceOptions.usernsOptions.uids`, 'uids', inUsers),
  ...mappingEffects(`${security}.namespaceOptions.usernsOptions.gids`, 'gids', inUsers),
  [`${security}.runAsUser`]: only(secure({ runAsUser: { value: 1000n } })),
  [`${security}.runAsGroup`]: {
    without: secure({ runAsUser: { value: 1000n } }),
    with: secure({ runAsUser: { value: 1000n }, runAsGroup: { value: 2000n } }),
  },
  [`${security}.runAsUsername`]: {
    without: { changes: { passwd } },
    with: secure({ runAsUsername: 'app' }, { passwd }),
  },
  [`${security}.readonlyRootfs`]: only(secure({ readonlyRootfs: true })),
  [`${security}.supplementalGroups`]: only(secure({ supplementalGroups: [3000n] })),
  [`${security}.supplementalGroupsPolicy`]: {
    without: secure({ runAsUsername: 'app' }, { passwd, group }),
    with: secure(
      { runAsUsername: 'app', supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict },
      { passwd, group },
    ),
  },
  [`${security}.noNewPrivs`]: only(secure({ noNewPrivs: true })),
  [`${security}.maskedPaths`]: only(secure({ maskedPaths: ['/proc/kcore'] })),
  [`${security}.readonlyPaths`]: only(secure({ readonlyPaths: ['/proc/sys'] })),
  [`${security}.seccomp.profileType`]: only(
    secure({ seccomp: { ...localhost, localhostRef: '/p.json' } }, { localhostSeccomp }),
  ),
  [`${security}.apparmor.profileType`]: {
    without: { changes: withAppArmor },
    with: secure({ apparmor: { profileType: ProfileType.Unconfined } }, withAppArmor),
  },
  [`${security}.apparmor.localhostRef`]: {
    without: secure({ apparmor: { ...localhost, localhostRef: 'strict' } }, withAppArmor),
    with: secure({ apparmor: { ...localhost, localhostRef: 'other' } }, withAppArmor),
  },
  [`${security}.apparmorProfile`]: {
    without: { changes: withAppArmor },
    with: secure({ apparmorProfile: 'localhost/strict' }, withAppArmor),
  },
  [`${security}.seccompProfilePath`]: only(
    secure({ seccompProfilePath: 'localhost//p.json' }, { localhostSeccomp }),
  ),
};

/** What each field of PodSandboxConfig does to the pause container. */
export const podEffects: Readonly<Record<string, Effect>> = {
  'pod.metadata.name': only(
    both({ metadata: { name: 'other', namespace: 'default', uid: 'u-1' } }),
  ),
  'pod.metadata.uid': only(both({ metadata: { name: 'web', namespace: 'default', uid: 'u-2' } })),
  'pod.metadata.namespace': only(both({ metadata: { name: 'web', namespace: 'x', uid: 'u-1' } })),
  'pod.logDirectory': only(both({ logDirectory: '/var/log/other' })),
  'pod.linux.sysctls': only(both({ linux: { sysctls: { 'net.core.somaxconn': '1024' } } })),
  [`${podSecurity}.namespaceOptions.network`]: only(
    podSecure({ namespaceOptions: { network: NamespaceMode.NODE } }),
  ),
  [`${podSecurity}.namespaceOptions.pid`]: only(
    podSecure({ namespaceOptions: { pid: NamespaceMode.NODE } }),
  ),
  [`${podSecurity}.namespaceOptions.ipc`]: only(
    podSecure({ namespaceOptions: { ipc: NamespaceMode.NODE } }),
  ),
  [`${podSecurity}.namespaceOptions.usernsOptions.mode`]: only(podUsers()),
  ...mappingEffects(`${podSecurity}.namespaceOptions.usernsOptions.uids`, 'uids', podUsers),
  ...mappingEffects(`${podSecurity}.namespaceOptions.usernsOptions.gids`, 'gids', podUsers),
  [`${podSecurity}.runAsUser`]: only(podSecure({ runAsUser: { value: 7n } })),
  [`${podSecurity}.runAsGroup`]: {
    without: podSecure({ runAsUser: { value: 7n } }),
    with: podSecure({ runAsUser: { value: 7n }, runAsGroup: { value: 8n } }),
  },
  [`${podSecurity}.supplementalGroups`]: only(podSecure({ supplementalGroups: [9n] })),
  [`${podSecurity}.supplementalGroupsPolicy`]: {
    without: podSecure({ runAsUser: { value: 1000n } }, { passwd, group }),
    with: podSecure(
      { runAsUser: { value: 1000n }, supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict },
      { passwd, group },
    ),
  },
  [`${podSecurity}.privileged`]: only(podSecure({ privileged: true })),
  [`${podSecurity}.seccomp.profileType`]: only(
    podSecure({ seccomp: { ...localhost, localhostRef: '/p.json' } }, { localhostSeccomp }),
  ),
  [`${podSecurity}.apparmor.profileType`]: {
    without: { changes: withAppArmor },
    with: podSecure({ apparmor: { profileType: ProfileType.RuntimeDefault } }, withAppArmor),
  },
  [`${podSecurity}.apparmor.localhostRef`]: {
    without: podSecure({ apparmor: { ...localhost, localhostRef: 'strict' } }, withAppArmor),
    with: podSecure({ apparmor: { ...localhost, localhostRef: 'other' } }, withAppArmor),
  },
  [`${podSecurity}.seccompProfilePath`]: only(
    podSecure({ seccompProfilePath: 'localhost//p.json' }, { localhostSeccomp }),
  ),
};
