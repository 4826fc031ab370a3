import type {
  Container,
  ContainerUpdate,
  PodSandbox,
  UpdateContainersRequest,
} from '@gantry/proto/nri';
import type { ContainerOwners } from './events/container-owners.ts';

/** What is there now. */
export interface Snapshot {
  /** Those that have not stopped. */
  readonly pods: readonly PodSandbox[];
  /** Created and running ones. */
  readonly containers: readonly Container[];
  /** Those in the making; plugins may have been told of them or not. */
  readonly podsInMaking: readonly PodSandbox[];
  readonly containersInMaking: readonly Container[];
  /** Ids of what has stopped without plugins having been told yet. */
  readonly stopping: readonly string[];
  /** Ids of what has stopped, and plugins know. */
  readonly stopped: readonly string[];
}

/** What is to be done to containers that stand. */
export interface WantedUpdates extends Pick<UpdateContainersRequest, 'update' | 'evict'> {
  /** Who wants what of it. */
  readonly owners: ContainerOwners[];
}

/** Whoever owns the pods and containers: sandbox-service. */
export interface PluginHost {
  snapshot(signal: AbortSignal): Promise<Snapshot>;
  /** Does what a plugin wants without having been asked; tells what could not be done. */
  update(request: WantedUpdates, signal: AbortSignal): Promise<readonly ContainerUpdate[]>;
  /** Who has changed what of a container, by its id or the beginning of it. Throws `not-found`. */
  owners(containerId: string, signal: AbortSignal): Promise<ContainerOwners>;
}
