import type { MessageInitShape } from '@bufbuild/protobuf';
import { stopSignalOf } from '@gantry/oci-spec';
import {
  type ContainerFilter,
  type ContainerSchema,
  ContainerState,
  type ContainerStatusSchema,
  type Mount,
  Signal,
} from '@gantry/proto';
import { byAge, hasLabels } from '../pods/pod-view.ts';
import type { Container, ContainerFacts } from '../store/container-store.ts';

export function containerState(container: Container): ContainerState {
  switch (container.phase) {
    case 'running':
      return ContainerState.CONTAINER_RUNNING;
    case 'exited':
      return ContainerState.CONTAINER_EXITED;
    case 'creating':
    case 'created':
      return ContainerState.CONTAINER_CREATED;
  }
}

/** A container as lists show it: its image as asked for, and the image's id. */
export function containerItem(container: Container): MessageInitShape<typeof ContainerSchema> {
  const { config, sandboxId } = container;
  return {
    ...common(container),
    podSandboxId: sandboxId,
    imageRef: container.facts.image?.id ?? '',
    ...(config.image === undefined ? {} : { image: config.image }),
  };
}

/** A container as ContainerStatus shows it: its image by name and digest, as they were at its creation. */
export function containerStatus(
  container: Container,
): MessageInitShape<typeof ContainerStatusSchema> {
  const { config, facts } = container;
  const resources = config.linux?.resources;
  return {
    ...common(container),
    ...imageOf(container),
    ...endOf(facts),
    startedAt: facts.startedAtNanos ?? 0n,
    mounts: config.mounts.map((mount, index) => mountOf(mount, facts.volumeImages?.[index])),
    logPath: facts.logPath ?? '',
    stopSignal: criSignal(facts.stopSignal),
    ...(resources === undefined ? {} : { resources: { linux: resources } }),
    ...(facts.user === undefined ? {} : { user: { linux: userOf(facts.user) } }),
  };
}

/**
 * The containers of a pod that clients may see, newest first: a kubelet with Evented PLEG takes the
 * first of a name for the last attempt.
 */
export function containerStatuses(
  containers: readonly Container[],
): MessageInitShape<typeof ContainerStatusSchema>[] {
  const visible = containers.filter((container) => container.phase !== 'creating');
  return visible.toSorted(byAge).map(containerStatus);
}

/** As asked for; an image volume with the digest of what it shows. */
function mountOf(mount: Mount, imageRef: string | undefined) {
  return imageRef === undefined || mount.image === undefined
    ? mount
    : { ...mount, image: { ...mount.image, imageRef } };
}

/** The image by its first name and digest; by its id where it has none. */
function imageOf({ config, facts }: Container) {
  const image = facts.image ?? { id: config.image?.image ?? '', repoTags: [], repoDigests: [] };
  return {
    image: {
      image: image.repoTags[0] ?? image.id,
      annotations: config.image?.annotations ?? {},
      userSpecifiedImage: config.image?.userSpecifiedImage ?? '',
      runtimeHandler: config.image?.runtimeHandler ?? '',
    },
    imageRef: image.repoDigests[0] ?? image.id,
  };
}

function endOf({ finishedAtNanos = 0n, exitCode = 0, reason, message = '' }: ContainerFacts) {
  return { finishedAt: finishedAtNanos, exitCode, reason: reason ?? '', message };
}

/** Whether all conditions of a filter hold; both ids may be prefixes. */
export function containerMatches(
  container: Container,
  filter: ContainerFilter | undefined,
): boolean {
  if (container.phase === 'creating') {
    return false;
  }
  return (
    filter === undefined ||
    (container.id.startsWith(filter.id) &&
      container.sandboxId.startsWith(filter.podSandboxId) &&
      (filter.state === undefined || filter.state.state === containerState(container)) &&
      hasLabels(container.config.labels, filter.labelSelector))
  );
}

function common(container: Container) {
  const { id, config, facts } = container;
  return {
    id,
    ...(config.metadata === undefined ? {} : { metadata: config.metadata }),
    imageId: facts.image?.id ?? '',
    state: containerState(container),
    createdAt: facts.createdAtNanos,
    labels: config.labels,
    annotations: config.annotations,
  };
}

function criSignal(number: number | undefined): Signal {
  return number === undefined
    ? Signal.RUNTIME_DEFAULT
    : stopSignalOf(Signal.RUNTIME_DEFAULT, String(number)).cri;
}

function userOf(user: NonNullable<Container['facts']['user']>) {
  return {
    uid: BigInt(user.uid),
    gid: BigInt(user.gid),
    supplementalGroups: user.additionalGids.map(BigInt),
  };
}
