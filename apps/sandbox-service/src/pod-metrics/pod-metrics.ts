import type { MessageInitShape } from '@bufbuild/protobuf';
import type { MetricSchema, PodSandboxMetricsSchema } from '@gantry/proto';
import { InParallel } from '../in-parallel.ts';
import type { Paths } from '../paths.ts';
import type { Clock } from '../ports.ts';
import { cgroupDirectoryOf } from '../runtime/container-cgroup.ts';
import type { ContainerReader } from '../stats/container-stats.ts';
import { runningCgroup } from '../stats/container-stats.ts';
import type { Figures, FilesystemFigures } from '../stats/figures.ts';
import type { NetworkDevice } from '../stats/network-devices.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import type { ImageFacts, Sandbox } from '../store/sandbox-store.ts';
import { containerSamples } from './container-samples.ts';
import { baseValues, metricTypeOf, type Sample } from './descriptors.ts';

export type PodMetricsInit = MessageInitShape<typeof PodSandboxMetricsSchema>;
type MetricInit = MessageInitShape<typeof MetricSchema>;

interface Deps {
  readonly records: Records;
  readonly figures: Figures;
  readonly containerReader: Pick<ContainerReader, 'layersOf'>;
  readonly paths: Pick<Paths, 'netns'>;
  readonly clock: Clock;
}

/** What the network of a pod is said to be of: as cAdvisor has it. */
const podContainer = 'POD';

/** Reads the metrics of pods: their network, and what each running container uses. */
export class PodMetricsReader {
  readonly #deps: Deps;
  readonly #turns = new InParallel(8);

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** In the order of `sandboxes`. */
  async read(sandboxes: readonly Sandbox[]): Promise<PodMetricsInit[]> {
    const { records, containerReader } = this.#deps;
    const running = sandboxes.map(({ id }) =>
      records.containers.ofSandbox(id).filter((c) => c.phase === 'running'),
    );
    const layers = await containerReader.layersOf(running.flat());
    const filesystems = new Map<string, Promise<FilesystemFigures | undefined>>();
    return Promise.all(
      sandboxes.map(async (sandbox, index) => ({
        podSandboxId: sandbox.id,
        metrics: await this.#turns.run(() => this.#podMetrics(sandbox)),
        containerMetrics: await this.#turns.map(running[index] ?? [], async (container) => {
          const layer = layers.get(container.id);
          const metrics = await this.#containerMetrics(sandbox, container, layer, filesystems);
          return { containerId: container.id, metrics };
        }),
      })),
    );
  }

  async #podMetrics(sandbox: Sandbox): Promise<MetricInit[]> {
    const { figures, paths, clock } = this.#deps;
    const { id, facts } = sandbox;
    // The network of the host is not the pod's.
    const devices = facts.hostNetwork
      ? []
      : await figures.networkDevices(facts.pause?.init.pid ?? paths.netns(id));
    return metrics((devices ?? []).flatMap(networkSamples), podLabels(sandbox), clock());
  }

  async #containerMetrics(
    sandbox: Sandbox,
    container: Container,
    layer: LayerOf,
    filesystems: Map<string, Promise<FilesystemFigures | undefined>>,
  ): Promise<MetricInit[]> {
    const { figures, clock } = this.#deps;
    const { config, facts } = container;
    const cgroupPath = runningCgroup(container);
    if (cgroupPath === undefined) {
      return [];
    }
    const [measures, filesystem] = await Promise.all([
      figures.measures(cgroupPath, facts.init?.pid),
      layer && filesystemOf(figures, layer.mountPoint, filesystems),
    ]);
    const nowNanos = clock();
    const samples = containerSamples({
      ...measures,
      nowNanos,
      startedAtNanos: facts.startedAtNanos ?? 0n,
      resources: config.linux?.resources,
      deviceName: (numbers) => figures.deviceName(numbers),
      ...(layer && filesystem && { layer: { ...filesystem, usageBytes: layer.bytes } }),
    });
    return metrics(samples, containerLabels(sandbox, container, cgroupPath), nowNanos);
  }
}

function podLabels({ id, config, facts }: Sandbox): string[] {
  return baseValues({
    ...nameOfPod(config),
    container: podContainer,
    id: facts.cgroupsPath === undefined ? '' : cgroupDirectoryOf(facts.cgroupsPath),
    image: imageName(facts.image),
    name: id,
  });
}

function containerLabels(
  sandbox: Sandbox,
  { id, config, facts }: Container,
  cgroupPath: string,
): string[] {
  return baseValues({
    ...nameOfPod(sandbox.config),
    container: config.metadata?.name ?? '',
    id: cgroupPath,
    image: imageName(facts.image),
    name: id,
  });
}

function nameOfPod({ metadata }: Sandbox['config']): { namespace: string; pod: string } {
  return { namespace: metadata?.namespace ?? '', pod: metadata?.name ?? '' };
}

function imageName(image: ImageFacts | undefined): string {
  return image?.repoTags[0] ?? image?.repoDigests[0] ?? image?.id ?? '';
}

type LayerOf =
  Awaited<ReturnType<ContainerReader['layersOf']>> extends ReadonlyMap<string, infer Layer>
    ? Layer | undefined
    : never;

/** All containers of a node write to one file system or two: each is asked once. */
function filesystemOf(
  figures: Figures,
  mountPoint: string,
  known: Map<string, Promise<FilesystemFigures | undefined>>,
): Promise<FilesystemFigures | undefined> {
  const found = known.get(mountPoint) ?? figures.filesystem(mountPoint);
  known.set(mountPoint, found);
  return found;
}

function metrics(
  samples: readonly Sample[],
  labels: readonly string[],
  timestamp: bigint,
): MetricInit[] {
  return samples.map(({ name, value, labels: more = [] }) => ({
    name,
    timestamp,
    metricType: metricTypeOf(name),
    labelValues: [...labels, ...more],
    value: { value },
  }));
}

function networkSamples(device: NetworkDevice): Sample[] {
  const labels = [device.name];
  return [
    { name: 'container_network_receive_bytes_total', value: device.rxBytes, labels },
    { name: 'container_network_receive_packets_total', value: device.rxPackets, labels },
    { name: 'container_network_receive_packets_dropped_total', value: device.rxDropped, labels },
    { name: 'container_network_receive_errors_total', value: device.rxErrors, labels },
    { name: 'container_network_transmit_bytes_total', value: device.txBytes, labels },
    { name: 'container_network_transmit_packets_total', value: device.txPackets, labels },
    { name: 'container_network_transmit_packets_dropped_total', value: device.txDropped, labels },
    { name: 'container_network_transmit_errors_total', value: device.txErrors, labels },
  ];
}
