export { apparmorProfileOf } from './apparmor.ts';
export { capabilitiesOf } from './capabilities.ts';
export { capabilitiesOfMask } from './capability-names.ts';
export { applyCdiEdits, type FoundNode, nodesToFind } from './cdi/apply-edits.ts';
export { type CdiDirectory, type CdiEdits, editsOf, parseCdiSpec } from './cdi/cdi-spec.ts';
export { type CdiDeviceName, cdiDevicesOf, parseCdiName } from './cdi/device-name.ts';
export { cgroupsPath } from './cgroups-path.ts';
export { commandOf, workingDirOf } from './command.ts';
export { containerSpec } from './container-spec.ts';
export { environmentOf } from './environment.ts';
export {
  type HookFile,
  type HookSubject,
  hookApplies,
  parseHookFile,
  withHook,
} from './hooks/hook-file.ts';
export { type KernelVersion, kernelVersionOf } from './kernel-version.ts';
export { linuxResources, type ResourceFacts } from './linux-resources.ts';
export { cleanPath } from './mounts/cri-mount.ts';
export { namespacesOfPid } from './namespaces.ts';
export { pauseSpec } from './pause-spec.ts';
export { podSecurityOf } from './pod-security.ts';
export { resolveUser, type UserRequest } from './resolve-user.ts';
export { parseSeccompProfile } from './seccomp/parse-profile.ts';
export type { SeccompProfile } from './seccomp/profile.ts';
export { type SeccompRequest, seccompRequestOf } from './seccomp/seccomp.ts';
export {
  checkSelinuxOptions,
  containerLabels,
  freeSelinuxLevel,
  parseLxcContexts,
  podLabels,
  type SelinuxOptions,
  type SelinuxPolicy,
  selinuxLevelOf,
  sharedLabel,
} from './selinux.ts';
export type {
  ContainerSpecInput,
  HostFacts,
  ImageDefaults,
  PauseSpecInput,
  PodNamespaces,
  ResolvedDevice,
  ResolvedMount,
  SandboxFacts,
  SelinuxLabels,
} from './spec-input.ts';
export { type StopSignal, stopSignalOf } from './stop-signal.ts';
export { podSysctls } from './sysctls.ts';
export {
  checkIdRanges,
  toOciMappings,
  type UserMappings,
  userMappingsOf,
} from './user-namespace.ts';
