import { mkdir } from 'node:fs/promises';
import { busHandlers, type RawHandlers } from '@gantry/bus';
import type { Config } from '@gantry/config';
import type { SelinuxPolicy } from '@gantry/oci-spec';
import { Diagnostics, RuntimeService, Targets } from '@gantry/proto';
import type { Logger, Registry } from '@gantry/telemetry';
import { ContainerEnd } from './containers/container-end.ts';
import { containerSteps } from './containers/container-steps.ts';
import { ExitWatch } from './containers/exit-watch.ts';
import { removeContainer } from './containers/remove-container.ts';
import { ContainerStops } from './containers/stop-container.ts';
import { type EventFeed, startEventFeed } from './events/event-feed.ts';
import type { Handlers } from './handlers.ts';
import { registerMetrics } from './metrics.ts';
import { noPlugins, type Plugins } from './nri/plugins.ts';
import type { Paths } from './paths.ts';
import { PodMetricsReader } from './pod-metrics/pod-metrics.ts';
import { PodLock } from './pods/pod-lock.ts';
import { type PodSteps, podSteps } from './pods/pod-steps.ts';
import type {
  Clock,
  Locks,
  Mounts,
  Namespaces,
  Network,
  Processes,
  RootFilesystems,
  Runtime,
} from './ports.ts';
import { dropUnreadable } from './reconcile/drop-unreadable.ts';
import { forgetEarlierBoot } from './reconcile/forget-earlier-boot.ts';
import { type Reconciliation, startReconciliation } from './reconcile/reconcile.ts';
import { repair } from './reconcile/repair.ts';
import { gated } from './recovery-gate.ts';
import { checkpointContainerMethod } from './rpc/checkpoint-container.ts';
import { containerStats } from './rpc/container-stats.ts';
import { containerStatusMethod } from './rpc/container-status.ts';
import { createContainerMethod } from './rpc/create-container.ts';
import { explain } from './rpc/explain.ts';
import { getContainerEvents } from './rpc/get-container-events.ts';
import { getExecTarget } from './rpc/get-exec-target.ts';
import { getPodTarget } from './rpc/get-pod-target.ts';
import { listContainerStats } from './rpc/list-container-stats.ts';
import { listContainers } from './rpc/list-containers.ts';
import { listMetricDescriptors } from './rpc/list-metric-descriptors.ts';
import { listPodSandbox } from './rpc/list-pod-sandbox.ts';
import { listPodSandboxMetrics } from './rpc/list-pod-sandbox-metrics.ts';
import { listPodSandboxStats } from './rpc/list-pod-sandbox-stats.ts';
import { logLife } from './rpc/log-life.ts';
import { podSandboxStats } from './rpc/pod-sandbox-stats.ts';
import { podSandboxStatus } from './rpc/pod-sandbox-status.ts';
import { removeContainerMethod } from './rpc/remove-container.ts';
import { removePodSandbox } from './rpc/remove-pod-sandbox.ts';
import { reopenContainerLog } from './rpc/reopen-container-log.ts';
import { runPodSandbox } from './rpc/run-pod-sandbox.ts';
import { runtimeConfig } from './rpc/runtime-config.ts';
import { startContainerMethod } from './rpc/start-container.ts';
import { status } from './rpc/status.ts';
import { stopContainer } from './rpc/stop-container.ts';
import { stopPodSandbox } from './rpc/stop-pod-sandbox.ts';
import { streamContainerStats } from './rpc/stream-container-stats.ts';
import { streamContainers } from './rpc/stream-containers.ts';
import { streamPodSandboxMetrics } from './rpc/stream-pod-sandbox-metrics.ts';
import { streamPodSandboxStats } from './rpc/stream-pod-sandbox-stats.ts';
import { streamPodSandboxes } from './rpc/stream-pod-sandboxes.ts';
import { updateContainerResources } from './rpc/update-container-resources.ts';
import { updatePodSandboxResources } from './rpc/update-pod-sandbox-resources.ts';
import { updateRuntimeConfig } from './rpc/update-runtime-config.ts';
import { version } from './rpc/version.ts';
import { SharedCreations } from './shared-creation.ts';
import type { Specs } from './specs/specs.ts';
import { ContainerReader } from './stats/container-stats.ts';
import type { Figures } from './stats/figures.ts';
import { PodReader } from './stats/pod-stats.ts';
import type { Records } from './store/records.ts';

/** Everything that this service needs of the world. */
export interface World {
  readonly config: Config;
  readonly paths: Paths;
  readonly records: Records;
  readonly handlers: Handlers;
  readonly network: Network;
  readonly runtime: Runtime;
  readonly roots: RootFilesystems;
  readonly mounts: Mounts;
  readonly namespaces: Namespaces;
  readonly locks: Locks;
  readonly processes: Processes;
  readonly specs: Specs;
  readonly figures: Figures;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Registry;
  readonly faultPoint: (name: string) => void;
  readonly version: string;
  /** Differs from one start of the host to the next. */
  readonly bootId: string;
  /** The labels of the host's SELinux policy for containers; absent where pods get none. */
  readonly selinux?: SelinuxPolicy;
  /** Left out where NRI is disabled; the signal aborts when the service stops. */
  readonly openPlugins?: (world: World & { readonly signal: AbortSignal }) => Plugins;
}

type PluggedWorld = World & { readonly plugins: Plugins };

export interface SandboxService extends AsyncDisposable {
  readonly handlers: RawHandlers;
  readonly reconciliation: Reconciliation;
}

/** Reconciles with the host, watches for exits and answers; the world stays the caller's. */
export async function startSandboxService(outer: World): Promise<SandboxService> {
  const { paths, records, metrics } = outer;
  for (const directory of [
    paths.locks,
    paths.netnses,
    paths.pinned,
    paths.sandboxes,
    paths.bundles,
  ]) {
    await mkdir(directory, { recursive: true, mode: 0o711 });
  }
  dropUnreadable(records, outer.log);
  forgetEarlierBoot(records, outer.bootId);
  const stopping = new AbortController();
  const plugins = outer.openPlugins?.({ ...outer, signal: stopping.signal }) ?? noPlugins;
  const world: PluggedWorld = { ...outer, plugins };
  await using undo = new AsyncDisposableStack();
  const work = wire(world, undo.use(new SharedCreations()));
  const { podLock, containerEnd } = work;
  const background = { ...world, podLock, containerEnd, signal: stopping.signal };
  const exits = new ExitWatch(background);
  // Before the look at the records: the exits that it finds are events too.
  const feed = undo.use(await startEventFeed(world));
  const reconciliation = startReconciliation(background);
  undo.defer(() => reconciliation.finished);
  // Later than the look at the records: an exit in between is then seen by one of both.
  undo.use(await world.runtime.watchExits(exits.onExit));
  registerMetrics(metrics, records);
  // Never rejects; after it only those live that the records say.
  reconciliation.recovered.then(
    () => {
      exits.watchMonitors();
      feed.noteRecovery();
      plugins.catchUp();
    },
    () => undefined,
  );

  const open = new Set(['runtime.v1.RuntimeService/Version']);
  // Deferred last, so that it comes first: all the others wait for what it stops.
  undo.defer(() => {
    stopping.abort();
  });
  const running = undo.move();
  return {
    reconciliation,
    handlers: gated(methods(world, { ...work, exits, feed }), reconciliation, open),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Plugins are asked when all else is done. */
function withPodSteps(steps: PodSteps, { podSteps: asked }: Plugins): PodSteps {
  return (sandbox) => {
    const others = steps(sandbox);
    const after = others.map(({ name }) => name);
    return [...others, ...asked.map((step) => ({ ...step, after }))];
  };
}

interface Work extends ReturnType<typeof wire> {
  readonly exits: ExitWatch;
  readonly feed: EventFeed;
}

/** Makes the parts that have state, and hands each what it needs. */
function wire(world: PluggedWorld, creations: SharedCreations) {
  const { records, config } = world;
  const containerEnd = new ContainerEnd(world);
  const removal = { ...world, containerEnd };
  const pods = { steps: withPodSteps(podSteps(world), world.plugins) };
  const containers = { steps: containerSteps(world) };
  const { faultPoint } = world;
  const podLock = new PodLock({
    ...world,
    journal: records.journal,
    repair: (_, open) =>
      repair(
        {
          removal,
          runPod: { ...pods, faultPoint },
          createContainer: { ...containers, faultPoint },
          start: world,
          update: world,
          log: world.log,
        },
        open,
      ),
  });
  const stops = new ContainerStops({ ...world, podLock, containerEnd });
  return {
    containerEnd,
    podLock,
    stops,
    removal: { ...removal, podLock },
    runPod: {
      ...world,
      ...pods,
      podLock,
      creations,
      cgroupParent: config.pods.cgroup_parent,
      infra: config.pods.infra,
    },
    createContainer: { ...world, ...containers, podLock, creations },
  };
}

function statsDeps(world: World) {
  const containerReader = new ContainerReader(world);
  const deps = { ...world, containerReader };
  return { ...deps, podReader: new PodReader(deps), metricsReader: new PodMetricsReader(deps) };
}

function methods(world: PluggedWorld, work: Work): RawHandlers {
  const { podLock, stops, exits } = work;
  const stats = statsDeps(world);
  return new Map([
    ...busHandlers(RuntimeService, {
      version: version(world.version),
      status: status(world),
      runtimeConfig: runtimeConfig(world),
      updateRuntimeConfig: updateRuntimeConfig(world),
      ...logLife(world, {
        runPodSandbox: runPodSandbox({ ...work.runPod, exits }),
        stopPodSandbox: stopPodSandbox(work.removal),
        removePodSandbox: removePodSandbox(work.removal),
        createContainer: createContainerMethod({ ...work.removal, ...work.createContainer }),
        startContainer: startContainerMethod({ ...world, podLock, exits }),
        removeContainer: removeContainerMethod(work.removal),
      }),
      updatePodSandboxResources: updatePodSandboxResources({ ...world, podLock }),
      podSandboxStatus: podSandboxStatus(world),
      listPodSandbox: listPodSandbox(world),
      streamPodSandboxes: streamPodSandboxes(world),
      stopContainer: stopContainer({ ...world, stops }),
      listContainers: listContainers(world),
      streamContainers: streamContainers(world),
      containerStatus: containerStatusMethod(world),
      getContainerEvents: getContainerEvents(work.feed),
      updateContainerResources: updateContainerResources({ ...world, podLock }),
      checkpointContainer: checkpointContainerMethod({ ...world, podLock }),
      reopenContainerLog: reopenContainerLog(world),
      containerStats: containerStats(stats),
      listContainerStats: listContainerStats(stats),
      streamContainerStats: streamContainerStats(stats),
      podSandboxStats: podSandboxStats(stats),
      listPodSandboxStats: listPodSandboxStats(stats),
      streamPodSandboxStats: streamPodSandboxStats(stats),
      listMetricDescriptors,
      listPodSandboxMetrics: listPodSandboxMetrics(stats),
      streamPodSandboxMetrics: streamPodSandboxMetrics(stats),
    }),
    ...busHandlers(Targets, {
      getExecTarget: getExecTarget({ ...world, stateDir: world.config.state_dir }),
      getPodTarget: getPodTarget(world),
    }),
    ...busHandlers(Diagnostics, { explain: explain(world) }),
    ...world.plugins.handlers({
      ...world,
      podLock,
      stops,
      remove: (id) => removeContainer(work.removal, id),
    }),
  ]);
}
