/**
 * Fields of ContainerConfig and PodSandboxConfig that config.json has nothing of,
 * and why; `.*` stands for all fields below. Looked at by every-field.test.ts.
 */
export const elsewhere: Readonly<Record<string, string>> = {
  'container.metadata.attempt': 'part of the name that is reserved',
  'container.image.annotations': 'shown by ContainerStatus',
  'container.image.runtimeHandler': 'shown by ContainerStatus',
  'container.image.imageRef': 'set by us in answers',
  'container.labels': 'kept in the record; filters of lists look at it',
  'container.annotations':
    'kept in the record; hooks, CDI and NRI look at it (container-cdi, container-hooks)',
  'container.logPath': 'conmon writes there',
  'container.stdin': 'told to conmon',
  'container.stdinOnce': 'told to conmon',
  'container.CDIDevices.*': 'edits of config.json by files of the host: golden container-cdi',
  'container.stopSignal': 'sent by us: stop-signal.test.ts',
  'container.windows.*': 'of another operating system',
  'container.devices.containerPath': 'looked up on the host: golden container-devices',
  'container.devices.hostPath': 'looked up on the host: golden container-devices',
  'container.devices.permissions': 'looked up on the host: golden container-devices',
  'container.mounts.selinuxRelabel': 'changes files of the host, not config.json',
  'container.mounts.image.*': 'mounted by us; its directory is the source',
  'container.mounts.imageSubPath': 'mounted by us; its directory is the source',
  'container.linux.securityContext.seccomp.localhostRef':
    'the file is read by sandbox-service: golden container-security has what is in it',
  'container.linux.securityContext.selinuxOptions.*':
    'labels that sandbox-service makes with podLabels and containerLabels: golden container-selinux, selinux.test.ts',
  'container.linux.securityContext.namespaceOptions.usernsOptions.uids.containerId':
    'always 0, else it is refused: spec-refusals.test.ts',
  'container.linux.securityContext.namespaceOptions.usernsOptions.gids.containerId':
    'always 0, else it is refused: spec-refusals.test.ts',
  'pod.hostname': 'chosen by sandbox-service: SandboxFacts.hostname, golden pause-plain',
  'pod.linux.securityContext.seccomp.localhostRef':
    'the file is read by sandbox-service: golden container-security has what is in it',
  'pod.linux.securityContext.selinuxOptions.*':
    'labels that sandbox-service makes with podLabels and containerLabels: golden container-selinux, selinux.test.ts',
  'pod.linux.securityContext.namespaceOptions.usernsOptions.uids.containerId':
    'always 0, else it is refused: spec-refusals.test.ts',
  'pod.linux.securityContext.namespaceOptions.usernsOptions.gids.containerId':
    'always 0, else it is refused: spec-refusals.test.ts',
  'pod.metadata.attempt': 'part of the name that is reserved',
  'pod.dnsConfig.*': 'a file of the pod: sandbox-files.test.ts of sandbox-service',
  'pod.portMappings.*': 'told to network plugins',
  'pod.labels': 'kept in the record; filters of lists look at it',
  'pod.annotations': 'told to network plugins, hooks and NRI',
  'pod.linux.cgroupParent':
    'chosen by sandbox-service: SandboxFacts.cgroupParent, golden pause-plain',
  'pod.linux.overhead.*': 'of the cgroup above, which the kubelet owns; kept and shown',
  'pod.linux.resources.*': 'of the cgroup above, which the kubelet owns; kept and shown',
  'pod.linux.securityContext.readonlyRootfs': 'the root of a pause container is always read-only',
  'pod.linux.securityContext.namespaceOptions.targetId':
    'TARGET is for containers; refused for pods',
  'pod.windows.*': 'of another operating system',
};
