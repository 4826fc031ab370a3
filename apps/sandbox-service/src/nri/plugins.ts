import type { RawHandlers } from '@gantry/bus';
import type { LinuxContainerResources, UpdatePodSandboxResourcesRequest } from '@gantry/proto';
import type { ContainerWork, StartWork } from '../containers/container-work.ts';
import type { UpdateResourcesDeps } from '../containers/update-resources.ts';
import type { Step } from '../journal/steps.ts';
import type { PodLock } from '../pods/pod-lock.ts';
import type { PodWork } from '../pods/pod-steps.ts';
import type { Container } from '../store/container-store.ts';
import type { Sandbox } from '../store/sandbox-store.ts';

/** The rest of the service, for what plugins want of containers that stand already. */
export interface PluginParts extends UpdateResourcesDeps {
  readonly podLock: PodLock;
  readonly stops: { stop(id: string, graceMs: number): Promise<void> };
  /** Removes a container whose pod's lock is held. */
  readonly remove: (id: string) => Promise<void>;
}

/**
 * NRI plugins, as the rest of this service sees them. What they are asked in the
 * middle of an operation is a step of it: its undo tells them that it came to
 * nothing. Without plugins there are no such steps, and nothing is awaited.
 */
export interface Plugins {
  /** Comes after all others: plugins see a pod that stands. */
  readonly podSteps: readonly Omit<Step<PodWork>, 'after'>[];
  /** Comes last: changes config.json. */
  readonly containerSteps: readonly Step<ContainerWork>[];
  /** Between the runtime's create and its start. */
  readonly startSteps: readonly Step<StartWork>[];
  /** When the containers have stopped and the network is still there. */
  readonly stopPodSteps: readonly Omit<Step<Sandbox>, 'after'>[];
  readonly removePodSteps: readonly Omit<Step<Sandbox>, 'after'>[];
  readonly removeContainerSteps: readonly Omit<Step<Container>, 'after'>[];
  /** Tells of a container that stands, and changes others as plugins want; not with a lock held. Throws where that fails. */
  created(id: string): Promise<void>;
  /** Tells of one that runs; not with a lock held. Never throws. */
  started(id: string): Promise<void>;
  /** What plugins make of limits that are about to change. Throws where one refuses. */
  updating(
    id: string,
    wanted: LinuxContainerResources | undefined,
  ): Promise<LinuxContainerResources | undefined>;
  /** Tells of limits that have changed; not with a lock held. Throws where other containers can't be changed. */
  updated(id: string): Promise<void>;
  /** Throws where one refuses. */
  updatingPod(id: string, request: UpdatePodSandboxResourcesRequest): Promise<void>;
  updatedPod(id: string): Promise<void>;
  /** Tells of a container that has exited, in the background and once. */
  exited(id: string): void;
  /** Resolves when what `exited` has begun is over. */
  settled(id: string): Promise<void>;
  /** After a start of this service: tells of the exits that nobody was told of, and does what a crash kept from being done. */
  catchUp(): void;
  /** What the broker asks of this service. */
  handlers(parts: PluginParts): RawHandlers;
}

const nothing = (): Promise<void> => Promise.resolve();

/** No plugins: costs nothing. */
export const noPlugins: Plugins = {
  podSteps: [],
  containerSteps: [],
  startSteps: [],
  stopPodSteps: [],
  removePodSteps: [],
  removeContainerSteps: [],
  created: nothing,
  started: nothing,
  updating: (_, wanted) => Promise.resolve(wanted),
  updated: nothing,
  updatingPod: nothing,
  updatedPod: nothing,
  exited: () => undefined,
  settled: nothing,
  catchUp: () => undefined,
  handlers: () => new Map(),
};
