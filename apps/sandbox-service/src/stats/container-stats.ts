import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ContainerStatsFilter, ContainerStatsSchema } from '@gantry/proto';
import { containerMatches } from '../containers/container-view.ts';
import { hasLabels } from '../pods/pod-view.ts';
import type { Clock } from '../ports.ts';
import { cgroupDirectoryOf } from '../runtime/container-cgroup.ts';
import type { Container } from '../store/container-store.ts';
import { CpuSamples } from './cpu-samples.ts';
import type { Figures } from './figures.ts';
import { type CgroupUsage, layerMessage, usageMessages } from './usage-messages.ts';
import { type MeasuredLayer, WritableLayers } from './writable-layers.ts';

// Longer than walks of usual layers take, shorter than a kubelet waits.
const layerPatienceMs = 2000;

/** What is known of one container now. */
export interface ContainerFigures {
  readonly container: Container;
  /** Absent when it does not run. */
  readonly usage?: CgroupUsage | undefined;
  readonly layer?: MeasuredLayer | undefined;
}

/** Reads what containers use. Holds the last readings, from which rates come, and the sizes of layers. */
export class ContainerReader {
  readonly #figures: Figures;
  readonly #clock: Clock;
  readonly #cpu = new CpuSamples();
  readonly #layers: WritableLayers;

  constructor({ figures, clock }: { readonly figures: Figures; readonly clock: Clock }) {
    this.#figures = figures;
    this.#clock = clock;
    this.#layers = new WritableLayers((upperDir) => figures.writableLayer(upperDir), clock);
  }

  /** What they have written, by their ids; without those whose size is not known yet. */
  async layersOf(containers: readonly Container[]): Promise<ReadonlyMap<string, MeasuredLayer>> {
    using patience = startPatience();
    const layers = await Promise.all(
      containers.map(async ({ id, facts: { upperDir } }) => {
        const layer = upperDir && (await this.#layers.usageOf(upperDir, patience.over));
        return layer ? ([id, layer] as const) : undefined;
      }),
    );
    return new Map(layers.filter((layer) => layer !== undefined));
  }

  /** In the order of `containers`. */
  async read(containers: readonly Container[]): Promise<ContainerFigures[]> {
    using patience = startPatience();
    return await Promise.all(
      containers.map(async (container) => {
        const cgroupPath = runningCgroup(container);
        const { startedAtNanos, upperDir } = container.facts;
        const [usage, layer] = await Promise.all([
          cgroupPath && this.usageOf(cgroupPath, startedAtNanos),
          upperDir && this.#layers.usageOf(upperDir, patience.over),
        ]);
        return { container, usage: usage || undefined, layer: layer || undefined };
      }),
    );
  }

  /** What a cgroup uses; its rate is told from the last reading under the same path. */
  async usageOf(cgroupPath: string, startedAtNanos?: bigint): Promise<CgroupUsage> {
    const reading = await this.#figures.cgroup(cgroupPath);
    const atNanos = this.#clock();
    const { cpu } = reading;
    const nanoCores = cpu && this.#cpu.rateOf(cgroupPath, { ...cpu, atNanos }, startedAtNanos);
    return { reading, atNanos, nanoCores };
  }

  /** How many processes are in cgroups and below. */
  async countProcesses(cgroupPaths: readonly string[]): Promise<number> {
    const counts = await Promise.all(cgroupPaths.map((path) => this.#figures.countProcesses(path)));
    return counts.reduce((sum, count) => sum + count, 0);
  }
}

/** Over when layers have been waited for long enough. */
function startPatience(): { readonly over: Promise<void> } & Disposable {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, layerPatienceMs);
  return {
    over: promise,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
    },
  };
}

/** As the CRI shows it. One that does not run has no more than its writable layer. */
export function containerStatsMessage({
  container: { id, config },
  usage,
  layer,
}: ContainerFigures): MessageInitShape<typeof ContainerStatsSchema> {
  return {
    attributes: {
      id,
      ...(config.metadata === undefined ? {} : { metadata: config.metadata }),
      labels: config.labels,
      annotations: config.annotations,
    },
    ...(usage && usageMessages(usage)),
    ...(layer && { writableLayer: layerMessage(layer) }),
  };
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
