import { clone, create } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import {
  type Container,
  type ContainerAdjustment,
  ContainerAdjustmentSchema,
  type ContainerEviction,
  ContainerSchema,
  type ContainerUpdate,
  type CreateContainerResponse,
  Field,
  type Hooks,
  HooksSchema,
} from '@gantry/proto/nri';
import { type Claimant, mergeList, mergeMap } from './merge-keyed.ts';
import { mergeLinux } from './merge-linux.ts';
import { MergedUpdates } from './merge-updates.ts';
import { Owners } from './owners.ts';

const hookLists = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
] as const satisfies readonly (keyof Hooks)[];

/**
 * What plugins want of a container that is about to be made. Each plugin sees
 * the container as those before it have changed it. A field is owned by the
 * first who sets it; removals are kept in the result, marked by "-".
 */
export class MergedAdjustment {
  readonly owners = new Owners();
  readonly #adjust = create(ContainerAdjustmentSchema);
  readonly #container: Container;
  readonly #updates = new MergedUpdates(this.owners);
  readonly #evictions: ContainerEviction[] = [];
  #isChanged = false;

  constructor(container: Container) {
    this.#container = clone(ContainerSchema, container);
  }

  /** For the next plugin. */
  get container(): Container {
    return this.#container;
  }

  /** Undefined when no plugin wants anything. */
  get result(): ContainerAdjustment | undefined {
    return this.#isChanged ? this.#adjust : undefined;
  }

  /** For other containers. */
  get updates(): ContainerUpdate[] {
    return this.#updates.all;
  }

  get evictions(): readonly ContainerEviction[] {
    return this.#evictions;
  }

  /**
   * Throws `failed-precondition`, with the names of both, when another plugin
   * owns what this one sets, and for an update of the container itself. Nothing
   * may be done with the result then.
   */
  add(plugin: string, { adjust, update, evict }: CreateContainerResponse): void {
    if (adjust !== undefined) {
      this.#addAdjustment(plugin, adjust);
      this.#isChanged = true;
    }
    for (const one of update) {
      if (one.containerId === this.#container.id) {
        const words = `plugin "${plugin}" asked to update the container that is being created`;
        throw new RuntimeError('failed-precondition', words);
      }
      this.#updates.add(plugin, one);
    }
    this.#evictions.push(...evict);
  }

  #addAdjustment(plugin: string, adjust: ContainerAdjustment): void {
    const who = { plugin, containerId: this.#container.id, owners: this.owners };
    mergeCommon(who, adjust, this.#adjust, this.#container);
    this.#addArgs(plugin, adjust.args);
    if (adjust.hooks !== undefined) {
      this.#addHooks(plugin, adjust.hooks);
    }
    if (adjust.linux !== undefined) {
      mergeLinux(who, adjust.linux, this.#adjust, this.#container);
    }
  }

  /** An empty first argument says that those of another plugin may be replaced. */
  #addArgs(plugin: string, args: readonly string[]): void {
    const where = { field: Field.Args };
    if (args[0] === '') {
      this.owners.clear(this.#container.id, where, plugin);
      this.#adjust.args = [];
    }
    const wanted = args[0] === '' ? args.slice(1) : [...args];
    if (wanted.length > 0) {
      this.owners.claim(this.#container.id, where, plugin);
      this.#adjust.args = wanted;
      this.#container.args = [...wanted];
    }
  }

  #addHooks(plugin: string, hooks: Hooks): void {
    this.#adjust.hooks ??= create(HooksSchema);
    const merged = this.#adjust.hooks;
    this.#container.hooks ??= create(HooksSchema);
    const view = this.#container.hooks;
    for (const list of hookLists) {
      if (hooks[list].length > 0) {
        merged[list].push(...hooks[list]);
        view[list].push(...hooks[list]);
        this.owners.share(this.#container.id, { field: Field.OciHooks }, plugin);
      }
    }
  }
}

function mergeCommon(
  who: Claimant,
  wanted: ContainerAdjustment,
  merged: ContainerAdjustment,
  view: Container,
): void {
  mergeMap(who, Field.Annotations, wanted.annotations, merged.annotations, view.annotations);
  mergeList(who, { field: Field.Mounts, keyOf: destinationOf }, wanted.mounts, merged.mounts, {
    list: view.mounts,
    keyOf: destinationOf,
    of: (mount) => mount,
  });
  mergeList(who, { field: Field.Env, keyOf: ({ key }) => key }, wanted.env, merged.env, {
    list: view.env,
    keyOf: (text) => text.slice(0, text.includes('=') ? text.indexOf('=') : undefined),
    of: ({ key, value }) => `${key}=${value}`,
  });
  mergeList(who, { field: Field.Rlimits, keyOf: typeOf }, wanted.rlimits, merged.rlimits, {
    list: view.rlimits,
    keyOf: typeOf,
    of: (limit) => limit,
  });
  mergeList(who, { field: Field.CdiDevices, keyOf: nameOf }, wanted.CDIDevices, merged.CDIDevices, {
    list: view.CDIDevices,
    keyOf: nameOf,
    of: (device) => device,
  });
}

const destinationOf = ({ destination }: { readonly destination: string }): string => destination;
const typeOf = ({ type }: { readonly type: string }): string => type;
const nameOf = ({ name }: { readonly name: string }): string => name;
