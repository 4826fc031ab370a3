import { setTimeout as sleep } from 'node:timers/promises';
import type { DescMethodUnary } from '@bufbuild/protobuf';
import { messageOf, RuntimeError } from '@gantry/errors';
import { eventName, MergedAdjustment, MergedLimits, MergedUpdates, Owners } from '@gantry/nri';
import {
  type Container,
  type ContainerAdjustment,
  type ContainerEviction,
  type ContainerUpdate,
  Event,
  type LinuxResources,
  Plugin as PluginService,
  type PodSandbox,
  type StopContainerResponse,
} from '@gantry/proto/nri';
import type { Logger } from '@gantry/telemetry';
import { Mutex } from '../mutex.ts';
import { synchronizePlugin } from '../plugins/admit-plugin.ts';
import type { Plugin } from '../plugins/plugin.ts';
import type { PluginHost } from '../ports.ts';
import type { Validate } from '../validation/validate.ts';
import {
  type ContainerOwners,
  containersOf,
  ownersOf,
  ownersOfUpdates,
} from './container-owners.ts';
import { FailedSyncs } from './failed-syncs.ts';
import { KnownObjects } from './known-objects.ts';
import type { ToldJournal } from './told-journal.ts';

export interface DispatcherDeps {
  readonly host: PluginHost;
  readonly syncTimeoutMs: number;
  readonly validate: Validate;
  readonly journal: ToldJournal;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Called with a name that no plugin has had for long. */
  readonly forgotten: (plugin: string) => void;
  /** Aborts when the broker stops. */
  readonly signal: AbortSignal;
}

/** What an event is about. */
export interface Subject {
  readonly pod: PodSandbox;
  readonly container?: Container;
  readonly overhead?: LinuxResources;
  readonly resources?: LinuxResources;
}

/** What plugins want of other containers, and who of them wants what. */
export interface Updates {
  readonly update: ContainerUpdate[];
  readonly owners: ContainerOwners[];
}

/** `owners` has those of the container itself too. */
export interface AdjustResult extends Updates {
  readonly adjust?: ContainerAdjustment;
  readonly evict: ContainerEviction[];
}

const noUpdates: Updates = { update: [], owners: [] };

/** Events that a plugin can refuse; a refusal of others is only logged. */
const refusable: ReadonlySet<Event> = new Set([
  Event.RUN_POD_SANDBOX,
  Event.UPDATE_POD_SANDBOX,
  Event.START_CONTAINER,
]);
const stops: ReadonlySet<Event> = new Set([Event.STOP_POD_SANDBOX, Event.STOP_CONTAINER]);
const removals: ReadonlySet<Event> = new Set([Event.REMOVE_POD_SANDBOX, Event.REMOVE_CONTAINER]);
const goneShown = 32;

/**
 * Tells plugins of events, in the order of their index and one event at a time,
 * as they expect it: most keep an account of the node without locks of their own.
 */
export class Dispatcher {
  readonly #deps: DispatcherDeps;
  readonly #mutex = new Mutex();
  readonly #known: KnownObjects;
  readonly #failedSyncs = new FailedSyncs();
  #plugins: readonly Plugin[] = [];
  #gone: readonly Plugin[] = [];
  #isClosed = false;

  constructor(deps: DispatcherDeps) {
    this.#deps = deps;
    this.#known = new KnownObjects(deps.journal);
  }

  /** In the order in which they are asked; those that are gone at the end. */
  get plugins(): readonly Plugin[] {
    return [...this.#plugins, ...this.#gone];
  }

  get count(): number {
    return this.#plugins.length;
  }

  /**
   * Takes a plugin in: between the look at what is there and its first event no
   * other event passes. Throws, and the plugin is dropped, when it can't be
   * synchronised; one that fails again and again waits longer each time.
   */
  async join(plugin: Plugin): Promise<void> {
    const { host, syncTimeoutMs, log, signal } = this.#deps;
    const pauseMs = this.#failedSyncs.pauseMs(plugin.fullName);
    if (pauseMs > 0) {
      await sleep(pauseMs, undefined, { signal });
    }
    const update = await this.#mutex.run(async () => {
      const snapshot = this.#known.complete(await host.snapshot(signal));
      try {
        const wanted = await synchronizePlugin(plugin, snapshot, syncTimeoutMs);
        this.#failedSyncs.succeeded(plugin.fullName);
        this.#add(plugin);
        return wanted;
      } catch (error) {
        this.#failedSyncs.failed(plugin.fullName);
        throw error;
      }
    }, signal);
    if (update.length > 0) {
      const owners = ownersOfUpdates(plugin.fullName, update);
      const failed = await host.update({ update: [...update], evict: [], owners }, signal);
      if (failed.length > 0) {
        const containers = failed.map(({ containerId }) => containerId);
        log.warn({ plugin: plugin.fullName, containers }, 'updates at its start have failed');
      }
    }
  }

  /**
   * Every event without an adjustment. Returns updates of other containers.
   * Throws `failed-precondition` where a plugin refuses one that it may refuse, and
   * `unavailable` for a stop or removal while plugins of an earlier broker are on
   * their way: they are to be told of it later, and are.
   */
  notify(event: Event, subject: Subject, signal?: AbortSignal): Promise<Updates> {
    return this.#mutex.run(() => {
      const { id } = subject.container ?? subject.pod;
      if (this.#deps.journal.isAwaiting && (stops.has(event) || removals.has(event))) {
        throw new RuntimeError('unavailable', 'plugins are not back yet');
      }
      if (event === Event.RUN_POD_SANDBOX) {
        this.#known.made(subject);
      }
      if (stops.has(event) && !this.#known.stop(id)) {
        return Promise.resolve(noUpdates);
      }
      if (removals.has(event)) {
        return this.#removed(event, id, subject);
      }
      return this.#tellAll(event, subject);
    }, signal);
  }

  /** What all plugins want of a container that is about to be made. Throws `failed-precondition` where one refuses. */
  adjustContainer(
    pod: PodSandbox,
    container: Container,
    signal?: AbortSignal,
  ): Promise<AdjustResult> {
    return this.#mutex.run(async () => {
      // Also when it is refused: those asked before may have set something aside for it.
      this.#known.made({ pod, container });
      const merged = new MergedAdjustment(container);
      const consulted = this.#plugins;
      for (const plugin of consulted) {
        if (plugin.wants(Event.CREATE_CONTAINER)) {
          const answer = await plugin.tell(
            Event.CREATE_CONTAINER,
            PluginService.method.createContainer,
            { pod, container: merged.container },
          );
          if (answer !== undefined) {
            merged.add(plugin.fullName, answer);
          }
        }
      }
      await this.#deps.validate({ pod, container, merged, plugins: consulted });
      const { result: adjust, updates: update, evictions } = merged;
      const owners = ownersOf(merged.owners, [container.id, ...containersOf(update)]);
      return { ...(adjust && { adjust }), update, evict: [...evictions], owners };
    }, signal);
  }

  /** What all plugins make of limits that are about to change. Throws `failed-precondition` where one refuses. */
  adjustUpdate(
    pod: PodSandbox,
    container: Container,
    resources: LinuxResources,
    signal?: AbortSignal,
  ): Promise<Omit<AdjustResult, 'adjust'> & { readonly resources?: LinuxResources }> {
    return this.#mutex.run(async () => {
      const owners = new Owners();
      const merged = new MergedLimits(container.id, owners, resources);
      const evict: ContainerEviction[] = [];
      for (const plugin of this.#plugins) {
        if (plugin.wants(Event.UPDATE_CONTAINER)) {
          const answer = await plugin.tell(
            Event.UPDATE_CONTAINER,
            PluginService.method.updateContainer,
            { pod, container, linuxResources: merged.resources },
          );
          if (answer !== undefined) {
            merged.add(plugin.fullName, answer.update);
            evict.push(...answer.evict);
          }
        }
      }
      const { result, others: update } = merged;
      return {
        ...(result && { resources: result }),
        update,
        evict,
        owners: ownersOf(owners, [container.id, ...containersOf(update)]),
      };
    }, signal);
  }

  /** Ends all plugins. */
  close(): void {
    this.#isClosed = true;
    for (const plugin of this.#plugins) {
      plugin.drop('the broker stops');
    }
  }

  #add(plugin: Plugin): void {
    if (plugin.state === 'gone') {
      this.#forget(plugin);
      return;
    }
    plugin.state = 'ready';
    // Stable: among equal indices the first who came is asked first.
    this.#plugins = [...this.#plugins, plugin].sort(
      (a, b) => Number(a.name.index) - Number(b.name.index),
    );
    this.#deps.log.info({ plugin: plugin.fullName, origin: plugin.origin }, 'plugin is ready');
    const { journal, signal } = this.#deps;
    if (plugin.origin === 'external') {
      journal.arrived(plugin.fullName);
    }
    void plugin.closed.then(() => {
      if (plugin.origin === 'external' && !signal.aborted && !this.#isClosed) {
        journal.left(plugin.fullName);
      }
      this.#deps.log.warn(
        { plugin: plugin.fullName, reason: plugin.stats.lastError },
        'plugin is gone',
      );
      this.#forget(plugin);
    });
  }

  #forget(plugin: Plugin): void {
    this.#plugins = this.#plugins.filter((other) => other !== plugin);
    // The last of each name: one that comes and goes is not to fill the list.
    const others = this.#gone.filter(({ fullName }) => fullName !== plugin.fullName);
    const gone = [plugin, ...others];
    this.#gone = gone.slice(0, goneShown);
    for (const { fullName } of gone.slice(goneShown)) {
      if (!this.#plugins.some((other) => other.fullName === fullName)) {
        this.#deps.forgotten(fullName);
      }
    }
  }

  async #removed(event: Event, id: string, subject: Subject): Promise<Updates> {
    let updates = noUpdates;
    if (this.#known.stop(id)) {
      const stop = event === Event.REMOVE_CONTAINER ? Event.STOP_CONTAINER : Event.STOP_POD_SANDBOX;
      updates = await this.#tellAll(stop, subject);
    }
    if (this.#known.has(id)) {
      await this.#tellAll(event, subject);
      this.#known.remove(id);
      this.#deps.journal.shorten((other) => this.#known.has(other));
    }
    return updates;
  }

  async #tellAll(event: Event, subject: Subject): Promise<Updates> {
    const { journal } = this.#deps;
    const owners = new Owners();
    const updates = new MergedUpdates(owners);
    const { id } = subject.container ?? subject.pod;
    const sameName = new Map<string, number>();
    for (const plugin of this.#plugins) {
      if (!plugin.wants(event)) {
        continue;
      }
      const nth = (sameName.get(plugin.fullName) ?? 0) + 1;
      sameName.set(plugin.fullName, nth);
      if (journal.wasTold(event, id, plugin.fullName, nth)) {
        continue;
      }
      try {
        const request = requestOf(event, subject);
        const sendLast = journal.telling(event, id, plugin.fullName, nth);
        const answer = await plugin.tell(event, methodOf(event), request, sendLast);
        if (event === Event.STOP_CONTAINER && answer !== undefined) {
          for (const update of (answer as StopContainerResponse).update) {
            updates.add(plugin.fullName, update);
          }
        }
      } catch (error) {
        if (refusable.has(event)) {
          throw error;
        }
        this.#deps.log.warn(
          { plugin: plugin.fullName, event: eventName(event), error: messageOf(error) },
          'a refusal that comes too late',
        );
      }
    }
    const { all: update } = updates;
    return { update, owners: ownersOf(owners, containersOf(update)) };
  }
}

const methods = new Map<string, DescMethodUnary>(
  PluginService.methods.map((method) => [method.name, method as DescMethodUnary]),
);

function methodOf(event: Event): DescMethodUnary {
  const method = methods.get(eventName(event));
  if (method === undefined) {
    throw new Error(`no method for ${eventName(event)}`);
  }
  return method;
}

function requestOf(event: Event, { pod, container, overhead, resources }: Subject) {
  if (event === Event.UPDATE_POD_SANDBOX) {
    return {
      pod,
      ...(overhead && { overheadLinuxResources: overhead }),
      ...(resources && { linuxResources: resources }),
    };
  }
  return container === undefined ? { pod } : { pod, container };
}
