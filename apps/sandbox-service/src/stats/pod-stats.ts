import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  NetworkUsageSchema,
  PodSandboxStatsFilter,
  PodSandboxStatsSchema,
} from '@gantry/proto';
import type { Paths } from '../paths.ts';
import { hasLabels } from '../pods/pod-view.ts';
import type { Clock } from '../ports.ts';
import { cgroupDirectoryOf } from '../runtime/container-cgroup.ts';
import type { Records } from '../store/records.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { type ContainerReader, containerStatsMessage, runningCgroup } from './container-stats.ts';
import type { Figures } from './figures.ts';
import type { NetworkDevice } from './network-devices.ts';
import { PodCgroups } from './pod-cgroup.ts';
import { sumUsage } from './sum-usage.ts';
import { type CgroupUsage, usageMessages } from './usage-messages.ts';

export type PodStatsInit = MessageInitShape<typeof PodSandboxStatsSchema>;

interface Deps {
  readonly records: Records;
  readonly containerReader: ContainerReader;
  readonly figures: Pick<Figures, 'networkDevices'>;
  readonly paths: Pick<Paths, 'netns'>;
  readonly clock: Clock;
}

// What the plugins of Kubernetes name the interface that they make.
const defaultInterface = 'eth0';

/** Reads what pods use: their containers, and what these share. */
export class PodReader {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** In the order of `sandboxes`. */
  read(sandboxes: readonly Sandbox[]): Promise<PodStatsInit[]> {
    const cgroups = new PodCgroups(this.#deps.records.sandboxes.list());
    return Promise.all(sandboxes.map((sandbox) => this.#one(sandbox, cgroups.ownOf(sandbox))));
  }

  async #one(sandbox: Sandbox, ownCgroup: string | undefined): Promise<PodStatsInit> {
    const { records, containerReader, clock } = this.#deps;
    const { id, config, facts } = sandbox;
    const found = records.containers.ofSandbox(id).filter((c) => c.phase !== 'creating');
    const pause =
      facts.cgroupsPath === undefined || facts.infra === 'none'
        ? []
        : [cgroupDirectoryOf(facts.cgroupsPath)];
    const running = [...pause, ...found.flatMap((c) => runningCgroup(c) ?? [])];
    const [containers, shared, count, network] = await Promise.all([
      containerReader.read(found),
      Promise.all(
        (ownCgroup === undefined ? pause : [ownCgroup]).map((p) => containerReader.usageOf(p)),
      ),
      containerReader.countProcesses(running),
      this.#networkOf(sandbox),
    ]);
    const timestamp = clock();
    const own = containers.flatMap((c) => c.usage ?? []);
    const usage = ownCgroup === undefined ? sumUsage([...shared, ...own], timestamp) : shared[0];
    return {
      attributes: {
        id,
        ...(config.metadata === undefined ? {} : { metadata: config.metadata }),
        labels: config.labels,
        annotations: config.annotations,
      },
      linux: {
        ...podUsage(usage),
        ...(network && { network }),
        process: { timestamp, processCount: { value: BigInt(count) } },
        containers: containers.map(containerStatsMessage),
      },
    };
  }

  /** Undefined on the network of the host, which is not the pod's. */
  async #networkOf({ id, facts }: Sandbox): Promise<NetworkInit | undefined> {
    if (facts.hostNetwork) {
      return undefined;
    }
    const { figures, paths } = this.#deps;
    const devices = await figures.networkDevices(facts.pause?.init.pid ?? paths.netns(id));
    return devices && networkMessage(devices, this.#deps.clock());
  }
}

/** Whether all conditions of a filter hold, and the pod is ready; the id may be a prefix. */
export function podStatsMatch(
  sandbox: Sandbox,
  filter: PodSandboxStatsFilter | undefined,
): boolean {
  return (
    sandbox.phase === 'ready' &&
    (filter === undefined ||
      (sandbox.id.startsWith(filter.id) && hasLabels(sandbox.config.labels, filter.labelSelector)))
  );
}

/** A pod's message has no swap. */
function podUsage(usage: CgroupUsage | undefined) {
  const { cpu, memory, io } = usage === undefined ? {} : usageMessages(usage);
  return { ...(cpu && { cpu }), ...(memory && { memory }), ...(io && { io }) };
}

type NetworkInit = MessageInitShape<typeof NetworkUsageSchema>;

function networkMessage(devices: readonly NetworkDevice[], timestamp: bigint): NetworkInit {
  const first = devices.find(({ name }) => name === defaultInterface);
  return {
    timestamp,
    ...(first && { defaultInterface: interfaceMessage(first) }),
    interfaces: devices.filter((device) => device !== first).map(interfaceMessage),
  };
}

function interfaceMessage({ name, rxBytes, rxErrors, txBytes, txErrors }: NetworkDevice) {
  return {
    name,
    rxBytes: { value: rxBytes },
    rxErrors: { value: rxErrors },
    txBytes: { value: txBytes },
    txErrors: { value: txErrors },
  };
}
