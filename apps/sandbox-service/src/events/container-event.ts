import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ContainerEventResponseSchema } from '@gantry/proto';
import { containerStatuses } from '../containers/container-view.ts';
import { podStatus } from '../pods/pod-view.ts';
import type { EventRecord } from '../store/event-store.ts';

export type ContainerEvent = MessageInitShape<typeof ContainerEventResponseSchema>;

/**
 * An event as clients get it: the state of the whole pod right after the change. That a pod was removed
 * is told with its last state, because a kubelet drops an event of no pod.
 */
export function containerEvent(record: EventRecord): ContainerEvent {
  const { type, objectId, atMs, sandbox, containers } = record;
  return {
    containerId: objectId,
    containerEventType: type,
    createdAt: BigInt(atMs) * 1_000_000n,
    containersStatuses: containerStatuses(containers),
    ...(sandbox === undefined ? {} : { podSandboxStatus: podStatus(sandbox) }),
  };
}
