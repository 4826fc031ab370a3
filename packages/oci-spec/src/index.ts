export { containerSpec } from './container-spec.ts';
export { pauseSpec } from './pause-spec.ts';
export type {
  ContainerSpecInput,
  HostFacts,
  ImageDefaults,
  KernelVersion,
  PauseSpecInput,
  PodNamespaces,
  ResolvedDevice,
  ResolvedMount,
  SandboxFacts,
  SelinuxLabels,
} from './spec-input.ts';
