import type { MessageInitShape } from '@bufbuild/protobuf';
import { busHandlers, type RawHandlers } from '@gantry/bus';
import { isKind, messageOf } from '@gantry/errors';
import type { LinuxContainerResources, UpdatePodSandboxResourcesRequest } from '@gantry/proto';
import { Event } from '@gantry/proto/nri';
import { type NotifyRequestSchema, PluginHost } from '@gantry/proto/nri-broker';
import type { Logger } from '@gantry/telemetry';
import type { ContainerWork, StartWork } from '../containers/container-work.ts';
import { shortId } from '../ids.ts';
import type { Step } from '../journal/steps.ts';
import type { PodWork } from '../pods/pod-steps.ts';
import type { Container } from '../store/container-store.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { type AdjustContainerDeps, adjustContainer } from './adjust-container.ts';
import { criResources, pluginResources } from './cri-resources.ts';
import { ExitNotices } from './exit-notices.ts';
import { LateRemovals } from './late-removals.ts';
import type { PluginBroker } from './plugin-broker.ts';
import { podMessage, subjectMessage } from './plugin-messages.ts';
import { pluginSnapshot } from './plugin-snapshot.ts';
import type { PluginParts, Plugins } from './plugins.ts';
import { refuseUnsupportedLimits } from './unsupported.ts';
import { WantedUpdates, type WantedUpdatesDeps } from './wanted-updates.ts';

export interface AskedPluginsDeps extends AdjustContainerDeps, WantedUpdatesDeps {
  readonly broker: PluginBroker;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/** Asks nri-broker at every point where plugins have a word. */
export class AskedPlugins implements Plugins {
  readonly #deps: AskedPluginsDeps;
  readonly #wanted: WantedUpdates;
  readonly #exits: ExitNotices;
  readonly #late: LateRemovals;

  constructor(deps: AskedPluginsDeps) {
    this.#deps = deps;
    this.#wanted = new WantedUpdates(deps);
    this.#exits = new ExitNotices({ ...deps, wanted: this.#wanted });
    this.#late = new LateRemovals({ ...deps, tell: (request) => this.#tellRemoval(request) });
  }

  get podSteps(): readonly Step<PodWork>[] {
    return [
      {
        name: 'plugins',
        run: async (work, signal) => {
          const pod = await podMessage(this.#deps.paths, work.sandbox, work);
          await this.#deps.broker.notify({ event: Event.RUN_POD_SANDBOX, pod }, { signal });
        },
        undo: ({ sandbox }) => this.#removedPod(sandbox),
      },
    ];
  }

  get containerSteps(): readonly Step<ContainerWork>[] {
    return [
      {
        name: 'plugins',
        run: (work, signal) =>
          adjustContainer(
            this.#deps,
            work,
            (wanted) => this.#wanted.keep('create', work.container.id, wanted),
            signal,
          ),
        undo: ({ container }) => this.#removed(container),
      },
    ];
  }

  get startSteps(): readonly Step<StartWork>[] {
    return [
      {
        name: 'plugins',
        run: async ({ container, init }, signal) => {
          const subject = await subjectMessage(this.#deps, container, init?.pid);
          await this.#deps.broker.notify({ event: Event.START_CONTAINER, ...subject }, { signal });
        },
      },
    ];
  }

  get stopPodSteps(): readonly Step<Sandbox>[] {
    return [
      {
        name: 'plugins',
        run: async (sandbox) => {
          const containers = this.#deps.records.containers.ofSandbox(sandbox.id);
          await Promise.all(containers.map(({ id }) => this.settled(id)));
          await this.#quietly(sandbox.id, async () => {
            const pod = await podMessage(this.#deps.paths, sandbox);
            await this.#nowOrLater({ event: Event.STOP_POD_SANDBOX, pod }, false);
          });
        },
      },
    ];
  }

  get removePodSteps(): readonly Step<Sandbox>[] {
    return [{ name: 'plugins', run: (sandbox) => this.#removedPod(sandbox) }];
  }

  get removeContainerSteps(): readonly Step<Container>[] {
    return [{ name: 'plugins', run: (container) => this.#removed(container) }];
  }

  async created(id: string): Promise<void> {
    if (this.#wanted.has('create', id)) {
      await this.#wanted.apply('create', id, `create container ${shortId(id)}`);
      await this.#tell(Event.POST_CREATE_CONTAINER, id);
    }
  }

  async started(id: string): Promise<void> {
    await this.#tell(Event.POST_START_CONTAINER, id);
  }

  async updating(
    id: string,
    wanted: LinuxContainerResources | undefined,
  ): Promise<LinuxContainerResources | undefined> {
    const container = this.#deps.records.containers.get(id);
    // Of those that can't be updated the update itself says why.
    if (container.phase !== 'created' && container.phase !== 'running') {
      return wanted;
    }
    const { resources, update, evict, owners } = await this.#deps.broker.adjustUpdate({
      ...(await subjectMessage(this.#deps, container)),
      resources: wanted === undefined ? {} : pluginResources(wanted),
    });
    if (resources !== undefined) {
      refuseUnsupportedLimits(id, resources, owners, container.phase === 'running');
    }
    await this.#wanted.keep('update', id, {
      update,
      evict,
      owners,
      ...(resources && { resources }),
    });
    return resources === undefined ? wanted : criResources(resources);
  }

  async updated(id: string): Promise<void> {
    if (this.#wanted.has('update', id)) {
      await this.#wanted.apply('update', id, `update container ${shortId(id)}`);
      await this.#tell(Event.POST_UPDATE_CONTAINER, id);
    }
  }

  async updatingPod(
    id: string,
    { overhead, resources }: UpdatePodSandboxResourcesRequest,
  ): Promise<void> {
    const sandbox = this.#deps.records.sandboxes.get(id);
    await this.#deps.broker.notify({
      event: Event.UPDATE_POD_SANDBOX,
      pod: await podMessage(this.#deps.paths, sandbox),
      ...(overhead && { overhead: pluginResources(overhead) }),
      ...(resources && { resources: pluginResources(resources) }),
    });
  }

  async updatedPod(id: string): Promise<void> {
    const sandbox = this.#deps.records.sandboxes.find(id);
    if (sandbox !== undefined) {
      await this.#quietly(id, () => this.#notifyPod(Event.POST_UPDATE_POD_SANDBOX, sandbox));
    }
  }

  exited(id: string): void {
    this.#exits.exited(id);
  }

  async settled(id: string): Promise<void> {
    await this.#exits.settled(id);
  }

  catchUp(): void {
    this.#exits.catchUp();
    this.#late.deliver();
    this.#wanted.recover().catch((error: unknown) => {
      if (!this.#deps.signal.aborted) {
        this.#deps.log.warn({ error: messageOf(error) }, 'what plugins wanted before a crash');
      }
    });
  }

  handlers(parts: PluginParts): RawHandlers {
    const { records, paths } = this.#deps;
    const applied = this.#wanted.connect(parts);
    return busHandlers(PluginHost, {
      snapshot: async () => {
        const snapshot = await pluginSnapshot(records, paths, this.#late);
        setImmediate(() => {
          this.#exits.catchUp();
          this.#late.deliver();
        });
        return snapshot;
      },
      updateContainers: async (request) => {
        const { failed } = await applied.apply(request);
        return { failed: [...failed] };
      },
      getOwners: ({ containerId }) =>
        Promise.try(() => {
          const { id, facts } = records.getContainer(containerId);
          return { containerId: id, owners: [...(facts.pluginOwners ?? [])] };
        }),
    });
  }

  async #notifyPod(event: Event, sandbox: Sandbox): Promise<void> {
    const pod = await podMessage(this.#deps.paths, sandbox);
    await this.#deps.broker.notify({ event, pod }, { patient: false });
  }

  /** For what nobody can refuse any more. */
  async #tell(event: Event, id: string): Promise<void> {
    const container = this.#deps.records.containers.find(id);
    if (container !== undefined) {
      await this.#quietly(id, async () => {
        const subject = await subjectMessage(this.#deps, container);
        await this.#deps.broker.notify({ event, ...subject }, { patient: false });
      });
    }
  }

  async #removed(container: Container): Promise<void> {
    const { id, sandboxId } = container;
    await this.settled(id);
    await this.#wanted.drop('create', id);
    await this.#wanted.drop('update', id);
    const { records } = this.#deps;
    if (records.sandboxes.find(sandboxId) !== undefined) {
      const now = records.containers.find(id) ?? container;
      await this.#quietly(id, async () => {
        const subject = await subjectMessage(this.#deps, now);
        const request = { event: Event.REMOVE_CONTAINER, ...subject };
        await this.#nowOrLater(request, now.facts.plugins === 'stopped');
      });
    }
  }

  async #removedPod(sandbox: Sandbox): Promise<void> {
    await this.#quietly(sandbox.id, async () => {
      const pod = await podMessage(this.#deps.paths, sandbox);
      const now = this.#deps.records.sandboxes.find(sandbox.id) ?? sandbox;
      const request = { event: Event.REMOVE_POD_SANDBOX, pod };
      await this.#nowOrLater(request, now.facts.plugins === 'stopped');
    });
  }

  async #nowOrLater(
    request: MessageInitShape<typeof NotifyRequestSchema>,
    isStopped: boolean,
  ): Promise<void> {
    if (!this.#late.isBusy) {
      try {
        await this.#tellRemoval(request);
        return;
      } catch (error) {
        if (!isKind(error, 'unavailable')) {
          throw error;
        }
      }
    }
    await this.#late.keep(request, isStopped);
  }

  async #tellRemoval(request: MessageInitShape<typeof NotifyRequestSchema>): Promise<void> {
    const { update, owners } = await this.#deps.broker.notify(request, { patient: false });
    if (request.event === Event.STOP_POD_SANDBOX) {
      this.#notePod(request.pod?.id ?? '');
    }
    if (update.length > 0) {
      await this.#exits.wanted(request.container?.id ?? '', { update, owners, evict: [] });
    }
  }

  #notePod(id: string): void {
    const { records } = this.#deps;
    records.commit(() => {
      if (records.sandboxes.find(id) !== undefined) {
        records.sandboxes.update(id, { facts: { plugins: 'stopped' } });
      }
    });
  }

  async #quietly(id: string, tell: () => Promise<void>): Promise<void> {
    try {
      await tell();
    } catch (error) {
      this.#deps.log.warn({ id, error: messageOf(error) }, 'plugins were not told');
    }
  }
}
