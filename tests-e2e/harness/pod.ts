import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type ContainerConfigSchema,
  ContainerState,
  NamespaceMode,
  type PodSandboxConfigSchema,
} from '@gantry/proto';
import { busyboxImage, type Stack } from './stack.ts';

export type PodConfig = MessageInitShape<typeof PodSandboxConfigSchema>;
export type ContainerConfig = MessageInitShape<typeof ContainerConfigSchema>;

/** A pod's config with a uid of its own; `more` replaces whole fields. */
export function podConfig(stack: Stack, name: string, more: Partial<PodConfig> = {}): PodConfig {
  const uid = randomUUID();
  const config = {
    metadata: { name, namespace: 'e2e', uid, attempt: 0 },
    logDirectory: join(stack.dir, 'logs', uid),
    linux: {},
    ...more,
  } as PodConfig;
  return stack.infra === 'none' ? withOwnProcesses(config) : config;
}

/** As a kubelet sends it unless told otherwise: containers that share their processes need a pause container. */
function withOwnProcesses(config: PodConfig): PodConfig {
  const { linux } = config;
  const { securityContext } = linux ?? {};
  const namespaceOptions = {
    pid: NamespaceMode.CONTAINER,
    ...securityContext?.namespaceOptions,
  };
  return {
    ...config,
    linux: { ...linux, securityContext: { ...securityContext, namespaceOptions } },
  } as PodConfig;
}

/** A busybox container that runs `script` in a shell. */
export function shellContainer(
  name: string,
  script: string,
  more: Partial<ContainerConfig> = {},
): ContainerConfig {
  return {
    metadata: { name, attempt: 0 },
    image: { image: busyboxImage },
    command: ['/bin/sh', '-c', script],
    logPath: `${name}.log`,
    linux: {},
    ...more,
  } as ContainerConfig;
}

export interface RunningPod {
  readonly podSandboxId: string;
  readonly config: PodConfig;
}

/** Runs a pod without containers. */
export async function runPod(stack: Stack, config: PodConfig): Promise<RunningPod> {
  const { podSandboxId } = await stack.runtime.runPodSandbox({ config });
  return { podSandboxId, config };
}

/** Creates and starts a container; gives its id. */
export async function startContainer(
  stack: Stack,
  pod: RunningPod,
  config: ContainerConfig,
): Promise<string> {
  const { containerId } = await stack.runtime.createContainer({
    podSandboxId: pod.podSandboxId,
    config,
    sandboxConfig: pod.config,
  });
  await stack.runtime.startContainer({ containerId });
  return containerId;
}

/** Stops and removes a pod with all that is in it. */
export async function removePod(stack: Stack, podSandboxId: string): Promise<void> {
  await stack.runtime.stopPodSandbox({ podSandboxId });
  await stack.runtime.removePodSandbox({ podSandboxId });
}

/** The CRI log lines of a container, as the kubelet reads them. */
export function logPathOf(pod: RunningPod, container: ContainerConfig): string {
  return join(String(pod.config.logDirectory), String(container.logPath));
}

export { ContainerState };
