import { create } from '@bufbuild/protobuf';
import type { OciLinux, OciMount, OciProcess, OciSpec } from '@gantry/oci';
import {
  type LinuxSandboxSecurityContext,
  LinuxSandboxSecurityContextSchema,
  NamespaceMode,
} from '@gantry/proto';
import { pauseAnnotations } from './annotations.ts';
import { capabilitiesOf } from './capabilities.ts';
import { cgroupsPath } from './cgroups-path.ts';
import { checkLengths } from './check-lengths.ts';
import { commandOf, workingDirOf } from './command.ts';
import { mappingFields, ociVersion } from './container-spec.ts';
import { devicesOf } from './devices.ts';
import { environmentOf } from './environment.ts';
import { bind, kernelMounts, shmMount } from './mounts/default-mounts.ts';
import { mergeMounts } from './mounts/merge-mounts.ts';
import { pauseNamespaces } from './namespaces.ts';
import { type PodSecurity, podSecurityOf } from './pod-security.ts';
import { oomScoreAdjOf, rlimitsOf } from './process-limits.ts';
import type { PauseSpecInput } from './spec-input.ts';
import { podSysctls } from './sysctls.ts';
import { userMappingsOf } from './user-namespace.ts';

/** Only the node's own daemons go later when memory runs out: with it goes the pod. */
const pauseOomScoreAdj = -998;
/** It sleeps: the least share there is. */
const pauseCpuShares = 2;

// Nothing runs beside the pause program, so it is closed up whatever the pod is allowed.
const maskedPaths = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
];
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/**
 * The bundle configuration of a pod's pause container: it holds the pod's
 * namespaces and sysctls. Throws like `containerSpec`.
 */
export function pauseSpec(input: PauseSpecInput): OciSpec {
  const { sandbox } = input;
  const security =
    sandbox.config.linux?.securityContext ?? create(LinuxSandboxSecurityContextSchema);
  const { image, passwd, group } = input;
  const asked = podSecurityOf(security, {
    ...input,
    accounts: { imageUser: image.user, passwd, group },
  });
  const onHostNetwork = security.namespaceOptions?.network === NamespaceMode.NODE;
  return checkLengths({
    ociVersion,
    // Without a UTS namespace of its own it must not rename the node.
    ...(!onHostNetwork && sandbox.namespaces.uts === undefined && { hostname: sandbox.hostname }),
    process: processOf(input, security, asked),
    root: { path: input.rootPath, readonly: true },
    mounts: mountsOf(input, security),
    annotations: pauseAnnotations(sandbox.id, sandbox.config),
    linux: linuxOf(input, security, asked),
  });
}

function processOf(
  input: PauseSpecInput,
  security: LinuxSandboxSecurityContext,
  { user, apparmorProfile }: PodSecurity,
): OciProcess {
  const { host, image, selinux } = input;
  const rlimits = rlimitsOf(input.openFiles, [], host);
  return {
    user,
    args: commandOf({ command: [], args: [] }, image),
    env: environmentOf({ tty: false, hostname: '', image: image.env, container: [] }),
    cwd: workingDirOf({ workingDir: '' }, image),
    capabilities: capabilitiesOf({ privileged: false }, host.capabilities),
    ...(rlimits.length > 0 && { rlimits }),
    noNewPrivileges: true,
    ...(apparmorProfile !== undefined && { apparmorProfile }),
    ...(selinux !== undefined && !security.privileged && { selinuxLabel: selinux.process }),
    oomScoreAdj: oomScoreAdjOf(pauseOomScoreAdj, host),
  };
}

function linuxOf(
  input: PauseSpecInput,
  security: LinuxSandboxSecurityContext,
  { seccomp }: PodSecurity,
): OciLinux {
  const { host, sandbox, selinux } = input;
  const userMappings = userMappingsOf(security.namespaceOptions);
  const sysctl = podSysctls(sandbox.config, input);
  return {
    namespaces: pauseNamespaces({
      options: security.namespaceOptions,
      pod: sandbox.namespaces,
      privileged: security.privileged,
      userNamespace: userMappings !== undefined,
      cgroupVersion: host.cgroupVersion,
    }),
    ...mappingFields(userMappings),
    cgroupsPath: cgroupsPath(sandbox.cgroupParent, sandbox.id, sandbox.systemdCgroup),
    resources: { devices: devicesOf([]).rules, cpu: { shares: pauseCpuShares } },
    ...(seccomp !== undefined && { seccomp }),
    ...(Object.keys(sysctl).length > 0 && { sysctl }),
    maskedPaths: [...maskedPaths],
    readonlyPaths: [...readonlyPaths],
    ...(selinux !== undefined && { mountLabel: selinux.mount }),
  };
}

function mountsOf(input: PauseSpecInput, security: LinuxSandboxSecurityContext): OciMount[] {
  const { host, sandbox } = input;
  const options = security.namespaceOptions;
  return mergeMounts({
    kernel: kernelMounts({
      options,
      // sysfs is one file system for a network namespace: read-only by its first
      // mount, it stays so for a privileged container that comes later.
      privileged: security.privileged,
      userMappings: userMappingsOf(options),
      recursiveReadOnly: host.recursiveReadOnly,
    }),
    pod: [
      shmMount(options, sandbox.shmPath),
      ...(sandbox.resolvConfPath === undefined
        ? []
        : [bind('/etc/resolv.conf', sandbox.resolvConfPath, ['ro'])]),
    ],
    volumes: [],
    requested: [],
  });
}
