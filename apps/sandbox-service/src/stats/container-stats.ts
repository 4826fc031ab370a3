import { setTimeout as delay } from 'node:timers/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ContainerStatsFilter, ContainerStatsSchema } from '@gantry/proto';
import { containerMatches } from '../containers/container-view.ts';
import { hasLabels } from '../pods/pod-view.ts';
import type { Clock } from '../ports.ts';
import { cgroupDirectoryOf } from '../runtime/container-cgroup.ts';
import type { Container } from '../store/container-store.ts';
import { CpuSamples } from './cpu-samples.ts';
import type { Figures } from './figures.ts';
import { InParallel } from './in-parallel.ts';
import { layerMessage, type UsageMessages, usageMessages } from './usage-messages.ts';
import { type MeasuredLayer, WritableLayers } from './writable-layers.ts';

export type ContainerStatsInit = MessageInitShape<typeof ContainerStatsSchema>;

// Longer than walks of usual layers take, shorter than a kubelet waits.
const layerPatienceMs = 2000;

/** What containers use now. Holds the last readings, from which rates come, and the sizes of layers. */
export class ContainerFigures {
  readonly #figures: Figures;
  readonly #clock: Clock;
  readonly #cpu = new CpuSamples();
  readonly #layers: WritableLayers;
  // A few readings of several files each keep the libuv pool busy, and leave others a turn.
  readonly #readings = new InParallel(8);

  constructor({ figures, clock }: { readonly figures: Figures; readonly clock: Clock }) {
    this.#figures = figures;
    this.#clock = clock;
    this.#layers = new WritableLayers((upperDir) => figures.writableLayer(upperDir), clock);
  }

  /** In the order of `containers`. Those that do not run have no more than their writable layer. */
  async of(containers: readonly Container[]): Promise<ContainerStatsInit[]> {
    const done = new AbortController();
    const patience = delay(layerPatienceMs, undefined, { signal: done.signal }).catch(() => 0);
    try {
      return await Promise.all(containers.map((container) => this.#one(container, patience)));
    } finally {
      done.abort();
    }
  }

  /** What a cgroup uses; its rate is told from the last reading under the same path. */
  usageOf(cgroupPath: string, startedAtNanos?: bigint): Promise<UsageMessages> {
    return this.#readings.run(async () => {
      const reading = await this.#figures.cgroup(cgroupPath);
      const atNanos = this.#clock();
      const nanoCores =
        reading.cpu && this.#cpu.rateOf(cgroupPath, { ...reading.cpu, atNanos }, startedAtNanos);
      return usageMessages(reading, atNanos, nanoCores);
    });
  }

  async #one(container: Container, patience: Promise<unknown>): Promise<ContainerStatsInit> {
    const { id, config, facts } = container;
    const cgroupPath = runningCgroup(container);
    const [usage, layer] = await Promise.all([
      cgroupPath === undefined ? {} : this.usageOf(cgroupPath, facts.startedAtNanos),
      this.#layerOf(container, patience),
    ]);
    return {
      attributes: {
        id,
        ...(config.metadata === undefined ? {} : { metadata: config.metadata }),
        labels: config.labels,
        annotations: config.annotations,
      },
      ...usage,
      ...(layer && { writableLayer: layerMessage(layer) }),
    };
  }

  #layerOf({ facts }: Container, patience: Promise<unknown>): Promise<MeasuredLayer | undefined> {
    const { upperDir } = facts;
    return upperDir === undefined
      ? Promise.resolve(undefined)
      : this.#layers.usageOf(upperDir, patience);
  }
}

/** Below the cgroup root; undefined for a container that does not run. */
export function runningCgroup({ phase, facts }: Container): string | undefined {
  return phase === 'running' && facts.cgroupsPath !== undefined
    ? cgroupDirectoryOf(facts.cgroupsPath)
    : undefined;
}

/** Whether all conditions of a filter hold; both ids may be prefixes. */
export function containerStatsMatch(
  container: Container,
  filter: ContainerStatsFilter | undefined,
): boolean {
  return (
    containerMatches(container, undefined) &&
    (filter === undefined ||
      (container.id.startsWith(filter.id) &&
        container.sandboxId.startsWith(filter.podSandboxId) &&
        hasLabels(container.config.labels, filter.labelSelector)))
  );
}
