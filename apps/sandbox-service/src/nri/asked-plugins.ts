import { setTimeout as sleep } from 'node:timers/promises';
import { busHandlers, type RawHandlers } from '@gantry/bus';
import { isKind, messageOf, RuntimeError } from '@gantry/errors';
import { adjustSpec } from '@gantry/nri';
import type { OciResources, OciSpec } from '@gantry/oci';
import { parseCdiName } from '@gantry/oci-spec';
import type { LinuxContainerResources, UpdatePodSandboxResourcesRequest } from '@gantry/proto';
import {
  type ContainerAdjustment,
  type ContainerEviction,
  type ContainerUpdate,
  Event,
} from '@gantry/proto/nri';
import { PluginHost } from '@gantry/proto/nri-broker';
import type { Logger } from '@gantry/telemetry';
import type { ContainerWork } from '../containers/container-steps.ts';
import { mergeResources } from '../containers/merge-resources.ts';
import type { StartWork } from '../containers/start-container.ts';
import { shortId } from '../ids.ts';
import type { Step } from '../journal/steps.ts';
import type { Paths } from '../paths.ts';
import { type PodWork, readSpec, writeSpec } from '../pods/pod-steps.ts';
import { withCdiDevices } from '../specs/cdi-devices.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { writeResources } from '../store/updated-resources.ts';
import { AppliedUpdates } from './apply-updates.ts';
import { beyondCri, criResources, pluginResources } from './cri-resources.ts';
import type { PluginBroker } from './plugin-broker.ts';
import { containerMessage, podMessage } from './plugin-messages.ts';
import { pluginSnapshot } from './plugin-snapshot.ts';
import type { PluginParts, Plugins } from './plugins.ts';

export interface AskedPluginsDeps {
  readonly broker: PluginBroker;
  readonly records: Records;
  readonly paths: Paths;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly cdiSpecDirs: readonly string[];
  /** The kernel refuses a lower one than this. */
  readonly lowestOomScoreAdj: number;
  /** Gives up telling what could not be told. */
  readonly signal: AbortSignal;
}

/** What plugins want beside the answer itself, once the lock of the pod is free. */
interface Wanted {
  readonly update: readonly ContainerUpdate[];
  readonly evict: readonly ContainerEviction[];
  readonly rest?: OciResources | undefined;
}

const firstRetryMs = 500;
const longestRetryMs = 30_000;

/** Asks nri-broker at every point where plugins have a word. */
export class AskedPlugins implements Plugins {
  readonly #deps: AskedPluginsDeps;
  readonly #wanted = new Map<string, Wanted>();
  readonly #telling = new Map<string, Promise<void>>();
  #applied: AppliedUpdates | undefined;

  constructor(deps: AskedPluginsDeps) {
    this.#deps = deps;
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
        run: (work, signal) => this.#adjust(work, signal),
        undo: async ({ container }) => {
          this.#wanted.delete(container.id);
          await this.#removed(container);
        },
      },
    ];
  }

  get startSteps(): readonly Step<StartWork>[] {
    return [
      {
        name: 'plugins',
        run: async ({ container, init }, signal) => {
          const subject = await this.#subject(container, init?.pid);
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
            await this.#notifyPod(Event.STOP_POD_SANDBOX, sandbox);
            this.#notePod(sandbox.id);
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
    const wanted = this.#wanted.get(id);
    if (wanted === undefined) {
      return;
    }
    this.#wanted.delete(id);
    await this.#applyWanted(`create container ${shortId(id)}`, wanted);
    await this.#tell(Event.POST_CREATE_CONTAINER, id);
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
    const { resources, update, evict } = await this.#deps.broker.adjustUpdate({
      ...(await this.#subject(container)),
      resources: wanted === undefined ? {} : pluginResources(wanted),
    });
    const rest = resources && beyondCri(resources);
    this.#wanted.set(id, { update, evict, rest });
    return resources === undefined ? wanted : criResources(resources);
  }

  async updated(id: string): Promise<void> {
    const wanted = this.#wanted.get(id);
    if (wanted === undefined) {
      return;
    }
    this.#wanted.delete(id);
    const { rest } = wanted;
    if (rest !== undefined) {
      await this.#applied?.locked(id, rest);
    }
    await this.#applyWanted(`update container ${shortId(id)}`, wanted);
    await this.#tell(Event.POST_UPDATE_CONTAINER, id);
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
    this.#exited(id, firstRetryMs);
  }

  async settled(id: string): Promise<void> {
    await this.#telling.get(id);
  }

  catchUp(): void {
    for (const { id, phase } of this.#deps.records.containers.list()) {
      if (phase === 'exited') {
        this.exited(id);
      }
    }
  }

  handlers(parts: PluginParts): RawHandlers {
    const applied = new AppliedUpdates(parts, this.#deps.log);
    this.#applied = applied;
    return busHandlers(PluginHost, {
      snapshot: async () => {
        const snapshot = await pluginSnapshot(this.#deps.records, this.#deps.paths);
        setImmediate(() => {
          this.catchUp();
        });
        return snapshot;
      },
      updateContainers: async ({ update, evict }) => {
        const { failed } = await applied.apply(update, evict);
        return { failed: [...failed] };
      },
    });
  }

  async #adjust(work: ContainerWork, signal: AbortSignal): Promise<void> {
    const { broker, paths } = this.#deps;
    const { container, sandbox } = work;
    const spec = await readSpec(paths, container.id);
    if (sandbox === undefined || spec === undefined) {
      return;
    }
    const { adjust, update, evict } = await broker.adjustContainer(
      {
        pod: await podMessage(paths, sandbox),
        container: await containerMessage(paths, container, work),
      },
      signal,
    );
    this.#wanted.set(container.id, { update, evict });
    const adjusted = adjust && (await this.#writeAdjusted(container, spec, adjust));
    if (work.learnt !== undefined) {
      work.learnt = { ...work.learnt, plugins: 'told', ...adjusted };
    }
  }

  async #writeAdjusted(container: Container, spec: OciSpec, adjust: ContainerAdjustment) {
    const { paths, log, lowestOomScoreAdj, cdiSpecDirs } = this.#deps;
    const devices = adjust.CDIDevices.map(({ name }) => parseCdiName(name, 'adjust.CDI_devices'));
    const withDevices = await withCdiDevices(spec, devices, cdiSpecDirs);
    const { spec: adjusted, ignored } = adjustSpec(withDevices, adjust, {
      injectDevices: (injected) => injected,
    });
    const { oomScoreAdj } = adjusted.process;
    if (oomScoreAdj !== undefined && oomScoreAdj < lowestOomScoreAdj) {
      adjusted.process.oomScoreAdj = lowestOomScoreAdj;
    }
    await writeSpec(paths, container.id, adjusted);
    for (const what of ignored) {
      log.warn({ container: container.id, what }, 'a plugin wants what is not supported');
    }
    const { resources } = adjust.linux ?? {};
    const { cgroupsPath } = adjusted.linux;
    return {
      ...(cgroupsPath === undefined ? {} : { cgroupsPath }),
      ...(resources && {
        resources: writeResources(
          mergeResources(container.config.linux?.resources, criResources(resources)),
        ),
      }),
    };
  }

  async #subject(container: Container, pid?: number) {
    const { records, paths } = this.#deps;
    return {
      pod: await podMessage(paths, records.sandboxes.get(container.sandboxId)),
      container: {
        ...(await containerMessage(paths, container)),
        ...(pid === undefined ? {} : { pid }),
      },
    };
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
        const subject = await this.#subject(container);
        await this.#deps.broker.notify({ event, ...subject }, { patient: false });
      });
    }
  }

  #exited(id: string, pauseMs: number): void {
    const container = this.#deps.records.containers.find(id);
    const isNews = container?.phase === 'exited' && container.facts.plugins === 'told';
    if (!isNews || this.#telling.has(id)) {
      return;
    }
    const telling = this.#tellOfExit(container)
      .catch((error: unknown) => {
        const words = messageOf(error);
        this.#deps.log.warn({ container: id, error: words }, 'tell plugins of an exit');
        if (isKind(error, 'unavailable')) {
          void this.#exitedLater(id, pauseMs);
        }
      })
      .finally(() => {
        this.#telling.delete(id);
      });
    this.#telling.set(id, telling);
  }

  /** Who waits for it need not wait for a broker that is away. */
  async #exitedLater(id: string, pauseMs: number): Promise<void> {
    const { signal } = this.#deps;
    await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
    if (!signal.aborted) {
      this.#exited(id, Math.min(pauseMs * 2, longestRetryMs));
    }
  }

  async #tellOfExit(container: Container): Promise<void> {
    const request = { event: Event.STOP_CONTAINER, ...(await this.#subject(container)) };
    const update = await this.#deps.broker.notify(request, { patient: false });
    this.#note(container.id);
    this.#applyLater(update);
  }

  /** The lock of the pod may be held by whoever waits for this. */
  #applyLater(update: readonly ContainerUpdate[]): void {
    if (update.length > 0) {
      void this.#applied?.apply(update, []);
    }
  }

  async #removed(container: Container): Promise<void> {
    await this.settled(container.id);
    const { records } = this.#deps;
    if (records.sandboxes.find(container.sandboxId) !== undefined) {
      const now = records.containers.find(container.id) ?? container;
      await this.#quietly(container.id, async () => {
        const request = { event: Event.REMOVE_CONTAINER, ...(await this.#subject(now)) };
        this.#applyLater(await this.#deps.broker.notify(request, { patient: false }));
      });
    }
  }

  async #removedPod(sandbox: Sandbox): Promise<void> {
    await this.#quietly(sandbox.id, () => this.#notifyPod(Event.REMOVE_POD_SANDBOX, sandbox));
  }

  async #applyWanted(doing: string, { update, evict }: Wanted): Promise<void> {
    if (update.length + evict.length === 0 || this.#applied === undefined) {
      return;
    }
    const { failed, reasons } = await this.#applied.apply(update, evict);
    if (failed.length > 0) {
      const words = `${doing}: updates that plugins want: ${reasons.join('; ')}`;
      throw new RuntimeError('failed-precondition', words);
    }
  }

  #note(id: string): void {
    const { records } = this.#deps;
    // Maybe without the lock of the pod: the record may have changed.
    records.commit(() => {
      if (records.containers.find(id) !== undefined) {
        records.containers.update(id, { facts: { plugins: 'stopped' } });
      }
    });
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
