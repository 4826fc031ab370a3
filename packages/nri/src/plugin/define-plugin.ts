import { RuntimeError } from '@gantry/errors';
import {
  type Container,
  type ContainerUpdate,
  Event,
  type LinuxResources,
  type PodSandbox,
  type ValidateContainerAdjustmentRequest,
} from '@gantry/proto/nri';
import { maskOf } from '../events.ts';
import { checkPluginName } from '../plugin-name.ts';
import type { Adjustment, Eviction, Limits, Update } from './adjustment.ts';

type Maybe<T> = T | undefined | Promise<T | undefined>;
type Nothing = void | Promise<void>;

/** An adjustment, and what else is to happen with it. */
export interface CreateResult extends Adjustment {
  /** Of other containers. */
  readonly updates?: readonly Update[];
  readonly evict?: readonly Eviction[];
}

/** New limits in place of those asked for, and what else is to happen. */
export interface UpdateResult {
  readonly limits?: Limits;
  readonly updates?: readonly Update[];
  readonly evict?: readonly Eviction[];
}

/**
 * What a plugin does. It is told of those events that it has a function for. One
 * that throws refuses, and its message is shown to whoever asked: that holds for
 * runPodSandbox, updatePodSandbox, createContainer, startContainer and updateContainer.
 */
export interface PluginHandlers {
  /** Comes first. `config` is the text of its config file; empty for one that connects by itself. */
  configure?(config: string, runtime: { readonly name: string; readonly version: string }): Nothing;
  /** What is there when the plugin comes, also after each time that it lost the runtime. */
  synchronize?(
    pods: readonly PodSandbox[],
    containers: readonly Container[],
  ): Maybe<readonly Update[]> | Nothing;
  runPodSandbox?(pod: PodSandbox): Nothing;
  updatePodSandbox?(
    pod: PodSandbox,
    change: {
      readonly overhead?: LinuxResources | undefined;
      readonly resources?: LinuxResources | undefined;
    },
  ): Nothing;
  postUpdatePodSandbox?(pod: PodSandbox): Nothing;
  stopPodSandbox?(pod: PodSandbox): Nothing;
  removePodSandbox?(pod: PodSandbox): Nothing;
  createContainer?(pod: PodSandbox, container: Container): Maybe<CreateResult> | Nothing;
  postCreateContainer?(pod: PodSandbox, container: Container): Nothing;
  startContainer?(pod: PodSandbox, container: Container): Nothing;
  postStartContainer?(pod: PodSandbox, container: Container): Nothing;
  updateContainer?(
    pod: PodSandbox,
    container: Container,
    resources: LinuxResources | undefined,
  ): Maybe<UpdateResult> | Nothing;
  postUpdateContainer?(pod: PodSandbox, container: Container): Nothing;
  stopContainer?(pod: PodSandbox, container: Container): Maybe<readonly Update[]> | Nothing;
  removeContainer?(pod: PodSandbox, container: Container): Nothing;
  /** Why what all plugins together want is not allowed; undefined allows it. */
  validateContainerAdjustment?(
    request: ValidateContainerAdjustmentRequest,
  ): Maybe<string> | Nothing;
}

export interface PluginDefinition extends PluginHandlers {
  readonly name: string;
  /** 0 to 99: plugins are asked in this order. */
  readonly index: number;
}

/** A definition that has been checked. */
export interface DefinedPlugin {
  readonly name: string;
  /** Two digits. */
  readonly index: string;
  /** The mask of those events that it has functions for. */
  readonly events: number;
  readonly handlers: PluginHandlers;
}

const eventOfHandler = {
  runPodSandbox: Event.RUN_POD_SANDBOX,
  updatePodSandbox: Event.UPDATE_POD_SANDBOX,
  postUpdatePodSandbox: Event.POST_UPDATE_POD_SANDBOX,
  stopPodSandbox: Event.STOP_POD_SANDBOX,
  removePodSandbox: Event.REMOVE_POD_SANDBOX,
  createContainer: Event.CREATE_CONTAINER,
  postCreateContainer: Event.POST_CREATE_CONTAINER,
  startContainer: Event.START_CONTAINER,
  postStartContainer: Event.POST_START_CONTAINER,
  updateContainer: Event.UPDATE_CONTAINER,
  postUpdateContainer: Event.POST_UPDATE_CONTAINER,
  stopContainer: Event.STOP_CONTAINER,
  removeContainer: Event.REMOVE_CONTAINER,
  validateContainerAdjustment: Event.VALIDATE_CONTAINER_ADJUSTMENT,
} as const satisfies Partial<Record<keyof PluginHandlers, Event>>;

/** Throws `invalid-argument` for a wrong name or index, and where it handles no event at all. */
export function definePlugin(definition: PluginDefinition): DefinedPlugin {
  const { index, name } = checkPluginName({
    index: String(definition.index).padStart(2, '0'),
    name: definition.name,
  });
  const wanted = Object.entries(eventOfHandler)
    .filter(([handler]) => definition[handler as keyof typeof eventOfHandler] !== undefined)
    .map(([, event]) => event);
  if (wanted.length === 0) {
    // On the wire, no events would mean all of them.
    throw new RuntimeError('invalid-argument', `plugin "${index}-${name}": handles no event`);
  }
  return { index, name, events: maskOf(wanted), handlers: definition };
}

/** What could not be done of what a plugin asked for by itself. */
export type FailedUpdates = readonly ContainerUpdate[];
