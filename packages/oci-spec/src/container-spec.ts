import { create } from '@bufbuild/protobuf';
import { quote, RuntimeError } from '@gantry/errors';
import type { OciLinux, OciMount, OciProcess, OciSpec } from '@gantry/oci';
import {
  type LinuxContainerSecurityContext,
  LinuxContainerSecurityContextSchema,
  type NamespaceOption,
} from '@gantry/proto';
import { containerAnnotations } from './annotations.ts';
import { apparmorProfileOf } from './apparmor.ts';
import { capabilitiesOf } from './capabilities.ts';
import { cgroupsPath } from './cgroups-path.ts';
import { checkLengths } from './check-lengths.ts';
import { commandOf, workingDirOf } from './command.ts';
import { devicesOf } from './devices.ts';
import { environmentOf } from './environment.ts';
import { linuxResources } from './linux-resources.ts';
import { cleanPath, criMount, propagationOf } from './mounts/cri-mount.ts';
import { bind, cgroupMount, kernelMounts, shmMount } from './mounts/default-mounts.ts';
import { mergeMounts } from './mounts/merge-mounts.ts';
import { checkHostNamespaces, containerNamespaces } from './namespaces.ts';
import { oomScoreAdjOf, rlimitsOf } from './process-limits.ts';
import { resolveUser } from './resolve-user.ts';
import { seccompOf, seccompRequestOf } from './seccomp/seccomp.ts';
import { checkSelinux } from './selinux.ts';
import type { ContainerSpecInput, ResolvedDevice } from './spec-input.ts';
import { checkSameMappings, type UserMappings, userMappingsOf } from './user-namespace.ts';

/** What the parts of a spec share. */
interface Shared {
  readonly security: LinuxContainerSecurityContext;
  readonly options: NamespaceOption | undefined;
  readonly userMappings: UserMappings | undefined;
}

/** The runtime-spec version whose fields are used; runtimes take any 1.x. */
export const ociVersion = '1.0.2';

/**
 * The bundle configuration of a container. Throws `invalid-argument` for what
 * the request got wrong and `failed-precondition` for what this host lacks;
 * messages begin with the field.
 */
export function containerSpec(input: ContainerSpecInput): OciSpec {
  const security =
    input.config.linux?.securityContext ?? create(LinuxContainerSecurityContextSchema);
  const pod = input.sandbox.config.linux?.securityContext;
  const podOptions = pod?.namespaceOptions;
  const options = security.namespaceOptions ?? podOptions;
  const userMappings = userMappingsOf(options);
  checkSameMappings(userMappingsOf(podOptions), userMappings);
  checkHostNamespaces(options, podOptions);
  checkSelinux(security.selinuxOptions, input, security.privileged);
  if (security.privileged && pod?.privileged !== true) {
    throw new RuntimeError(
      'invalid-argument',
      'privileged: no privileged container in a pod that is not',
    );
  }

  const shared: Shared = { security, options, userMappings };
  const process = processOf(input, shared);
  return checkLengths({
    ociVersion,
    process,
    root: { path: input.rootPath, readonly: security.readonlyRootfs },
    mounts: mountsOf(input, shared),
    annotations: containerAnnotations(input.sandbox.id, input.sandbox.config, input.config),
    linux: linuxOf(input, shared, process.capabilities?.bounding ?? []),
  });
}

function processOf(input: ContainerSpecInput, { security }: Shared): OciProcess {
  const { config, image, host } = input;
  const apparmorProfile = apparmorProfileOf(security, host.appArmor);
  const rlimits = rlimitsOf(input.openFiles, input.rlimits ?? [], host);
  return {
    terminal: config.tty,
    user: resolveUser({
      ...security,
      imageUser: image.user,
      passwd: input.passwd,
      group: input.group,
    }),
    args: commandOf(config, image),
    env: environmentOf({
      tty: config.tty,
      hostname: input.sandbox.hostname,
      image: image.env,
      container: config.envs,
    }),
    cwd: workingDirOf(config, image),
    capabilities: capabilitiesOf(security, host.capabilities),
    ...(rlimits.length > 0 && { rlimits }),
    noNewPrivileges: security.noNewPrivs,
    ...(apparmorProfile !== undefined && { apparmorProfile }),
    ...(input.selinux !== undefined &&
      !security.privileged && { selinuxLabel: input.selinux.process }),
    oomScoreAdj: oomScoreAdjOf(Number(config.linux?.resources?.oomScoreAdj ?? 0n), host),
  };
}

function linuxOf(
  input: ContainerSpecInput,
  { security, options, userMappings }: Shared,
  capabilities: readonly string[],
): OciLinux {
  const { config, host, sandbox } = input;
  const { privileged } = security;
  const devices = devicesOf(
    ownedDevices(input, security),
    privileged && input.privilegedWithoutHostDevices !== true ? host.devices : undefined,
  );
  const seccomp = seccompOf(seccompRequestOf(security), host, capabilities, input.localhostSeccomp);
  const rootfsPropagation = rootPropagationOf(input);
  return {
    namespaces: containerNamespaces({
      options,
      pod: sandbox.namespaces,
      targetPidNamespace: input.targetPidNamespace,
      privileged,
      userNamespace: userMappings !== undefined,
      cgroupVersion: host.cgroupVersion,
    }),
    ...mappingFields(userMappings),
    devices: devices.nodes,
    cgroupsPath: cgroupsPath(sandbox.cgroupParent, input.id, sandbox.systemdCgroup),
    resources: {
      devices: devices.rules,
      ...linuxResources(config.linux?.resources, host, input.pidsLimit),
    },
    ...(rootfsPropagation !== undefined && { rootfsPropagation }),
    ...(seccomp !== undefined && { seccomp }),
    maskedPaths: privileged ? [] : absolute(security.maskedPaths, 'masked_paths'),
    readonlyPaths: privileged ? [] : absolute(security.readonlyPaths, 'readonly_paths'),
    ...(input.selinux !== undefined && { mountLabel: input.selinux.mount }),
  };
}

function absolute(paths: readonly string[], field: string): string[] {
  for (const path of paths) {
    if (!path.startsWith('/') || path.includes('\0')) {
      throw new RuntimeError('invalid-argument', `${field}: ${quote(path)} is no absolute path`);
    }
  }
  return [...paths];
}

/** Who may not run as root can't open most devices of a host as they are. */
function ownedDevices(
  { devices, deviceOwnershipFromSecurityContext }: ContainerSpecInput,
  { runAsUser, runAsGroup }: LinuxContainerSecurityContext,
): readonly ResolvedDevice[] {
  if (deviceOwnershipFromSecurityContext !== true) {
    return devices;
  }
  const owner = {
    ...(runAsUser === undefined ? {} : { uid: Number(runAsUser.value) }),
    ...(runAsGroup === undefined ? {} : { gid: Number(runAsGroup.value) }),
  };
  return devices.map((resolved) => ({ ...resolved, device: { ...resolved.device, ...owner } }));
}

/** The `uidMappings` and `gidMappings` of a pod with its own user namespace. */
export function mappingFields(
  mappings: UserMappings | undefined,
): Pick<OciLinux, 'uidMappings' | 'gidMappings'> {
  return mappings === undefined
    ? {}
    : { uidMappings: [...mappings.uids], gidMappings: [...mappings.gids] };
}

function mountsOf(
  input: ContainerSpecInput,
  { security, options, userMappings }: Shared,
): OciMount[] {
  const { host, sandbox } = input;
  const { privileged } = security;
  // A pod's files can be written unless the container's own could not be either.
  const access = [security.readonlyRootfs ? 'ro' : 'rw'];
  const files: readonly (readonly [string, string | undefined])[] = [
    ['/etc/hostname', sandbox.hostnamePath],
    ['/etc/hosts', sandbox.hostsPath],
    ['/etc/resolv.conf', sandbox.resolvConfPath],
  ];
  return mergeMounts({
    kernel: [
      ...kernelMounts({
        options,
        privileged,
        userMappings,
        recursiveReadOnly: host.recursiveReadOnly,
      }),
      cgroupMount(privileged),
    ],
    pod: [
      ...files.flatMap(([path, source]) =>
        source === undefined ? [] : [bind(path, source, access)],
      ),
      shmMount(options, sandbox.shmPath),
    ],
    volumes: input.volumes
      .map(({ containerPath, source }) => bind(cleanPath(containerPath), source, ['rw']))
      // An image can't have its own root hidden.
      .filter(({ destination }) => destination !== '/'),
    requested: input.mounts.map((mount) => criMount(mount, host)),
  });
}

/** Mounts can only pass through a mount when they can pass through the root above it. */
function rootPropagationOf(input: ContainerSpecInput): 'rshared' | 'rslave' | undefined {
  const wanted = input.mounts.map((m) => propagationOf(m, m.request.containerPath));
  if (wanted.includes('rshared')) {
    return 'rshared';
  }
  return wanted.includes('rslave') ? 'rslave' : undefined;
}
