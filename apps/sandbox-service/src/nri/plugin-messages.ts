import type { Message, MessageInitShape } from '@bufbuild/protobuf';
import { describeResources, describeSpec } from '@gantry/nri';
import type { OciSpec } from '@gantry/oci';
import {
  type ContainerSchema,
  ContainerState,
  type LinuxContainerSchema,
  type PodSandboxSchema,
  type SecurityProfile_ProfileType,
} from '@gantry/proto/nri';
import type { ContainerWork } from '../containers/container-work.ts';
import type { Paths } from '../paths.ts';
import { pinsOf } from '../pods/pinned-namespaces.ts';
import type { PodWork } from '../pods/pod-steps.ts';
import { readSpec } from '../pods/pod-steps.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { pluginResources } from './cri-resources.ts';

/** A literal, not a message that was made. */
type Init<T> = Exclude<T, Message>;
export type PodShape = Init<MessageInitShape<typeof PodSandboxSchema>>;
export type ContainerShape = Init<MessageInitShape<typeof ContainerSchema>>;

/** What plugins are shown of a pod; `work` has what is not in the record of one in the making. */
export async function podMessage(
  paths: Paths,
  sandbox: Sandbox,
  work?: Omit<PodWork, 'sandbox'>,
): Promise<PodShape> {
  const { id, config, facts } = sandbox;
  const spec = await readSpec(paths, id);
  const { pause, attachment, cgroupsPath = '' } = { ...facts, ...work };
  const { name, uid, namespace } = config.metadata ?? { name: '', uid: '', namespace: '' };
  return {
    id,
    name,
    uid,
    namespace,
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: facts.requestedHandler,
    pid: pause?.init.pid ?? 0,
    ips: [...(attachment?.ips ?? [])],
    linux: linuxOfPod(paths, sandbox, spec, cgroupsPath),
  };
}

function linuxOfPod(
  paths: Paths,
  sandbox: Sandbox,
  spec: OciSpec | undefined,
  cgroupsPath: string,
): NonNullable<PodShape['linux']> {
  const { config, facts } = sandbox;
  const namespaces = spec?.linux.namespaces.map(({ type, path = '' }) => ({ type, path }));
  const { overhead, resources } = config.linux ?? {};
  return {
    cgroupParent: facts.cgroupParent,
    cgroupsPath,
    namespaces: namespaces ?? namespacesOf(paths, sandbox),
    ...(overhead && { podOverhead: pluginResources(overhead) }),
    ...(resources && { podResources: pluginResources(resources) }),
    ...(spec?.linux.resources && { resources: describeResources(spec.linux.resources) }),
  };
}

/** Of a pod whose pause container there is not, or not any more. */
function namespacesOf(paths: Paths, sandbox: Sandbox) {
  const { network, ...others } = pinsOf(paths, sandbox);
  const kept = sandbox.facts.infra === 'none' ? { network, ...others } : { network };
  return Object.entries(kept).flatMap(([type, path]) =>
    path === undefined ? [] : [{ type, path }],
  );
}

const states = {
  creating: ContainerState.CONTAINER_UNKNOWN,
  created: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  exited: ContainerState.CONTAINER_STOPPED,
} as const;

/** What plugins are shown of a container, with its config.json where that is still there. */
export async function containerMessage(
  paths: Paths,
  container: Container,
  work: Pick<ContainerWork, 'root'> = {},
): Promise<ContainerShape> {
  const { id, sandboxId, phase, config } = container;
  const spec = await readSpec(paths, id);
  const shape = spec === undefined ? {} : describeSpec(spec);
  const linux: MessageInitShape<typeof LinuxContainerSchema> = {
    ...(shape.linux as object | undefined),
    ...seccompOf(container),
  };
  return {
    ...shape,
    ...lifeOf(container),
    ...imageOf(container, work),
    id,
    podSandboxId: sandboxId,
    name: config.metadata?.name ?? '',
    state: states[phase],
    labels: config.labels,
    annotations: { ...shape.annotations, ...(phase === 'creating' && config.annotations) },
    CDIDevices: config.CDIDevices.map(({ name }) => ({ name })),
    linux,
  };
}

/** A container and its pod, as an event has them; `pid` where its record does not have it yet. */
export async function subjectMessage(
  { records, paths }: { readonly records: Records; readonly paths: Paths },
  container: Container,
  pid?: number,
): Promise<{ readonly pod: PodShape; readonly container: ContainerShape }> {
  return {
    pod: await podMessage(paths, records.sandboxes.get(container.sandboxId)),
    container: {
      ...(await containerMessage(paths, container)),
      ...(pid === undefined ? {} : { pid }),
    },
  };
}

/** Times, exit and process. */
function lifeOf({ phase, facts }: Container): ContainerShape {
  const { createdAtNanos, startedAtNanos = 0n, finishedAtNanos = 0n, init } = facts;
  const { exitCode = 0, reason = '', message = '' } = facts;
  return {
    pid: phase === 'running' ? (init?.pid ?? 0) : 0,
    createdAt: createdAtNanos,
    startedAt: startedAtNanos,
    finishedAt: finishedAtNanos,
    exitCode,
    statusReason: reason,
    statusMessage: message,
  };
}

function imageOf(
  { config, facts }: Container,
  { root }: Pick<ContainerWork, 'root'>,
): ContainerShape {
  const image = root?.image ?? facts.image;
  if (image === undefined) {
    return {};
  }
  const name = config.image?.userSpecifiedImage || config.image?.image || '';
  const digest = image.repoDigests[0]?.split('@')[1] ?? '';
  return { image: { name, digest, configDigest: image.id } };
}

/** The kinds of profile have the same numbers in both protocols. */
function seccompOf({ config }: Container): MessageInitShape<typeof LinuxContainerSchema> {
  const seccomp = config.linux?.securityContext?.seccomp;
  return seccomp === undefined
    ? {}
    : {
        seccompProfile: {
          profileType: seccomp.profileType as number as SecurityProfile_ProfileType,
          localhostRef: seccomp.localhostRef,
        },
      };
}
