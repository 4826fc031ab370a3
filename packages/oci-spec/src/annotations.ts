import type { ContainerConfig, PodSandboxConfig } from '@gantry/proto';

/*
 * What runtimes beside runc are told of the pod: gVisor and Kata read the keys
 * of containerd to know which container is the pod's first.
 */
const prefix = 'io.kubernetes.cri.';

/** Annotations of a pause container. */
export function pauseAnnotations(id: string, config: PodSandboxConfig): Record<string, string> {
  return withPrefix({ 'container-type': 'sandbox', ...podFacts(id, config) });
}

/** Annotations of a container in the pod `sandboxId`. */
export function containerAnnotations(
  sandboxId: string,
  pod: PodSandboxConfig,
  config: ContainerConfig,
): Record<string, string> {
  return withPrefix({
    'container-type': 'container',
    ...podFacts(sandboxId, pod),
    'container-name': config.metadata?.name ?? '',
    'image-name': config.image?.userSpecifiedImage || (config.image?.image ?? ''),
  });
}

function podFacts(
  id: string,
  { metadata, logDirectory }: PodSandboxConfig,
): Record<string, string> {
  return {
    'sandbox-id': id,
    'sandbox-name': metadata?.name ?? '',
    'sandbox-namespace': metadata?.namespace ?? '',
    'sandbox-uid': metadata?.uid ?? '',
    'sandbox-log-directory': logDirectory,
  };
}

function withPrefix(facts: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(facts).map(([key, value]) => [prefix + key, value]));
}
