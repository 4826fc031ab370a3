import { clone, create } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import {
  type ContainerUpdate,
  ContainerUpdateSchema,
  LinuxContainerUpdateSchema,
  type LinuxResources,
  LinuxResourcesSchema,
} from '@gantry/proto/nri';
import type { Owners } from './owners.ts';
import { resourceItems } from './resource-fields.ts';

/**
 * What plugins want of containers that stand already, merged by container. A
 * limit belongs to the first who sets it.
 */
export class MergedUpdates {
  readonly #owners: Owners;
  readonly #byContainer = new Map<string, ContainerUpdate>();

  constructor(owners: Owners) {
    this.#owners = owners;
  }

  /**
   * Takes all of an update or nothing. Throws `failed-precondition` on a conflict
   * with another plugin, unless the update says that it may be ignored.
   */
  add(plugin: string, update: ContainerUpdate): void {
    const id = update.containerId;
    const resources = update.linux?.resources ?? create(LinuxResourcesSchema);
    const items = resourceItems(resources);
    try {
      for (const { where } of items) {
        this.#owners.check(id, where, plugin);
      }
    } catch (cause) {
      if (update.ignoreFailure) {
        return;
      }
      throw new RuntimeError('failed-precondition', `update of container "${id}"`, { cause });
    }
    const { into, merged } = this.#entry(id);
    for (const { where, put } of items) {
      this.#owners.claim(id, where, plugin);
      put(into);
    }
    merged.ignoreFailure &&= update.ignoreFailure;
  }

  get all(): ContainerUpdate[] {
    return [...this.#byContainer.values()];
  }

  #entry(id: string): { merged: ContainerUpdate; into: LinuxResources } {
    let merged = this.#byContainer.get(id);
    if (merged === undefined) {
      merged = create(ContainerUpdateSchema, { containerId: id, ignoreFailure: true });
      this.#byContainer.set(id, merged);
    }
    merged.linux ??= create(LinuxContainerUpdateSchema);
    merged.linux.resources ??= create(LinuxResourcesSchema);
    return { merged, into: merged.linux.resources };
  }
}

/** What plugins want of an UpdateContainer: one after the other sees what those before it made of it. */
export class MergedLimits {
  readonly #containerId: string;
  readonly #owners: Owners;
  readonly #resources: LinuxResources;
  readonly #others: MergedUpdates;
  #isChanged = false;

  constructor(containerId: string, owners: Owners, asked: LinuxResources) {
    this.#containerId = containerId;
    this.#owners = owners;
    this.#resources = clone(LinuxResourcesSchema, asked);
    this.#others = new MergedUpdates(owners);
  }

  /** For the next plugin. */
  get resources(): LinuxResources {
    return this.#resources;
  }

  /** Undefined when no plugin has touched them. */
  get result(): LinuxResources | undefined {
    return this.#isChanged ? this.#resources : undefined;
  }

  /** For other containers. */
  get others(): ContainerUpdate[] {
    return this.#others.all;
  }

  /** Throws `failed-precondition` on a conflict that may not be ignored. */
  add(plugin: string, updates: readonly ContainerUpdate[]): void {
    for (const update of updates) {
      if (update.containerId === this.#containerId) {
        this.#addOwn(plugin, update);
      } else {
        this.#others.add(plugin, update);
      }
    }
  }

  #addOwn(plugin: string, update: ContainerUpdate): void {
    const items = resourceItems(update.linux?.resources ?? create(LinuxResourcesSchema));
    try {
      for (const { where } of items) {
        this.#owners.check(this.#containerId, where, plugin);
      }
    } catch (cause) {
      if (update.ignoreFailure) {
        return;
      }
      throw cause;
    }
    for (const { where, put } of items) {
      this.#owners.claim(this.#containerId, where, plugin);
      put(this.#resources);
      this.#isChanged = true;
    }
  }
}
