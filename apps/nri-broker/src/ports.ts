import type {
  Container,
  ContainerUpdate,
  PodSandbox,
  UpdateContainersRequest,
} from '@gantry/proto/nri';

/** What is there now. */
export interface Snapshot {
  /** Those that have not stopped. */
  readonly pods: readonly PodSandbox[];
  /** Created and running ones. */
  readonly containers: readonly Container[];
  /** Ids of what has stopped without plugins having been told yet. */
  readonly stopping: readonly string[];
  /** Ids of what has stopped, and plugins know. */
  readonly stopped: readonly string[];
}

/** Whoever owns the pods and containers: sandbox-service. */
export interface PluginHost {
  snapshot(signal: AbortSignal): Promise<Snapshot>;
  /** Does what a plugin wants without having been asked; tells what could not be done. */
  update(
    request: Pick<UpdateContainersRequest, 'update' | 'evict'>,
    signal: AbortSignal,
  ): Promise<readonly ContainerUpdate[]>;
}
