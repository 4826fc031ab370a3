import { setImmediate } from 'node:timers/promises';
import { messageOf, RuntimeError } from '@gantry/errors';
import type { OciResources } from '@gantry/oci';
import type { ContainerUpdate, LinuxResources } from '@gantry/proto/nri';
import type { Logger } from '@gantry/telemetry';
import { updateResources } from '../containers/update-resources.ts';
import { readSpec, writeSpec } from '../pods/pod-steps.ts';
import { beyondCri, criResources, isEmpty } from './cri-resources.ts';
import { noteOwners, ownersFor } from './field-owners.ts';
import type { Wanted } from './pending-updates.ts';
import type { PluginParts } from './plugins.ts';
import { refuseUnsupportedLimits } from './unsupported.ts';

/** A pod that is busy, maybe with the very plugin that asks, is not waited for longer. */
const longestWaitMs = 1500;
/** Of many at once, such as a plugin may want of containers that are not there: then others get their turn. */
const mostInARow = 50;
const mostFailuresLogged = 50;

export interface ApplyOptions {
  /** Ends the wait for pods that are busy; a short while when it is left out. */
  readonly signal?: AbortSignal;
}

/** What could not be done, but for what may be ignored. */
export interface Unapplied {
  readonly failed: readonly ContainerUpdate[];
  readonly reasons: readonly string[];
}

/** What plugins want of containers that stand already. Not to be called with the lock of a pod held. */
export class AppliedUpdates {
  readonly #parts: PluginParts;
  readonly #log: Pick<Logger, 'info' | 'warn'>;

  constructor(parts: PluginParts, log: Pick<Logger, 'info' | 'warn'>) {
    this.#parts = parts;
    this.#log = log;
  }

  /** Does what it can; throws nothing but the reason of an abort. */
  async apply(
    { update: updates, evict, owners }: Omit<Wanted, 'resources'>,
    options: ApplyOptions = {},
  ): Promise<Unapplied> {
    const failed: ContainerUpdate[] = [];
    const reasons: string[] = [];
    let failures = 0;
    const note = (fields: object, words: string): void => {
      if (++failures <= mostFailuresLogged) {
        this.#log.warn(fields, words);
      }
    };
    for (const [index, update] of updates.entries()) {
      await breathe(index);
      try {
        await this.#update(update, owners, options);
        noteOwners(this.#parts.records, update.containerId, ownersFor(owners, update.containerId));
      } catch (error) {
        options.signal?.throwIfAborted();
        const reason = messageOf(error);
        const { containerId: container, ignoreFailure: ignored } = update;
        note({ container, ignored, error: reason }, 'an update that a plugin wants has failed');
        if (!ignored) {
          failed.push(update);
          reasons.push(reason);
        }
      }
    }
    for (const [index, { containerId, reason }] of evict.entries()) {
      await breathe(index);
      try {
        await this.#evict(containerId, reason);
      } catch (error) {
        const words = messageOf(error);
        note({ container: containerId, reason, error: words }, 'an eviction has failed');
        reasons.push(words);
      }
    }
    if (failures > mostFailuresLogged) {
      this.#log.warn({ failures, logged: mostFailuresLogged }, 'more that plugins want has failed');
    }
    return { failed, reasons };
  }

  async #evict(containerId: string, reason: string): Promise<void> {
    const { records, stops } = this.#parts;
    if (records.containers.find(containerId) === undefined) {
      throw new RuntimeError('not-found', `evict container ${containerId}: not found`);
    }
    this.#log.info({ container: containerId, reason }, 'stopped because a plugin wants it');
    await stops.stop(containerId, 0);
  }

  async #update(
    { containerId, linux }: ContainerUpdate,
    owners: Wanted['owners'],
    options: ApplyOptions,
  ): Promise<void> {
    const { records, podLock } = this.#parts;
    const container = records.containers.find(containerId);
    if (container === undefined) {
      throw new RuntimeError('not-found', `update container ${containerId}: not found`);
    }
    const resources = linux?.resources;
    if (resources !== undefined) {
      refuseUnsupportedLimits(containerId, resources, owners, container.phase === 'running');
      await podLock.run(container.sandboxId, () => this.#setLimits(containerId, resources), {
        signal: options.signal ?? AbortSignal.timeout(longestWaitMs),
      });
    }
  }

  /** Of limits those that the CRI has no words for; takes the lock of the pod. */
  async locked(id: string, limits: LinuxResources | undefined): Promise<void> {
    const rest = limits && beyondCri(limits);
    if (rest !== undefined) {
      const { records, podLock } = this.#parts;
      await podLock.run(records.containers.get(id).sandboxId, () => this.#setRest(id, rest));
    }
  }

  /** The lock of the pod is held. */
  async #setLimits(id: string, resources: LinuxResources): Promise<void> {
    const cri = criResources(resources);
    if (!isEmpty(cri)) {
      await updateResources(this.#parts, id, cri);
    }
    const rest = beyondCri(resources);
    if (rest !== undefined) {
      await this.#setRest(id, rest);
    }
  }

  /** Limits that no record has: the kernel's, and those of config.json. */
  async #setRest(id: string, rest: OciResources): Promise<void> {
    const { records, runtime, handlers, paths } = this.#parts;
    const { phase, facts } = records.containers.get(id);
    if (phase === 'running') {
      await runtime.update(handlers.get(facts.handler), id, rest);
    }
    const spec = await readSpec(paths, id);
    if (spec !== undefined) {
      const merged = { ...spec.linux.resources };
      Object.assign(merged, {
        ...(rest.pids && { pids: rest.pids }),
        ...(rest.memory && { memory: { ...merged.memory, ...rest.memory } }),
        ...(rest.cpu && { cpu: { ...merged.cpu, ...rest.cpu } }),
      });
      await writeSpec(paths, id, { ...spec, linux: { ...spec.linux, resources: merged } });
    }
  }
}

async function breathe(index: number): Promise<void> {
  if (index % mostInARow === mostInARow - 1) {
    await setImmediate();
  }
}
