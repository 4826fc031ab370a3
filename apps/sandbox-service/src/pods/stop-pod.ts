import { RuntimeError } from '@gantry/errors';
import type { ContainerEnd } from '../containers/container-end.ts';
import { finishAll, finishEach } from '../finish-all.ts';
import type { Handlers } from '../handlers.ts';
import { shortId } from '../ids.ts';
import type { Step } from '../journal/steps.ts';
import { tearDown } from '../journal/tear-down.ts';
import type { Plugins } from '../nri/plugins.ts';
import type { Paths } from '../paths.ts';
import type { Mounts, Namespaces, Network, RootFilesystems, Runtime } from '../ports.ts';
import { releaseRoot } from '../rootfs.ts';
import type { Records } from '../store/records.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { unpinNamespaces } from './pinned-namespaces.ts';
import { podNetwork } from './pod-request.ts';
import { removeShm } from './sandbox-files.ts';
import { mappingsOf } from './user-namespace.ts';

export interface StopPodDeps {
  readonly records: Records;
  readonly paths: Paths;
  readonly network: Network;
  readonly runtime: Runtime;
  readonly roots: RootFilesystems;
  readonly mounts: Mounts;
  readonly namespaces: Namespaces;
  readonly handlers: Handlers;
  readonly containerEnd: ContainerEnd;
  readonly plugins: Pick<Plugins, 'stopPodSteps' | 'removePodSteps' | 'removeContainerSteps'>;
  readonly faultPoint: (name: string) => void;
}

/**
 * How a pod ends; every step may find its work done already. The network is
 * the slowest by far: all else runs beside it.
 *
 *   containers ──┬─▶ network ──▶ netns ──▶ userns
 *                ├─▶ pause ──┬─▶ root
 *                │           └─▶ shm
 *                └─▶ delete
 *
 * Without a pause container shm goes with the containers.
 */
export function stopPodSteps(
  deps: StopPodDeps,
  { facts: { infra } }: Pick<Sandbox, 'facts'>,
): readonly Step<Sandbox>[] {
  const { records, containerEnd } = deps;
  return [
    {
      name: 'containers',
      after: [],
      async run({ id }) {
        const running = records.containers.ofSandbox(id).filter((c) => c.phase === 'running');
        await finishAll(running.map((container) => containerEnd.kill(container)));
      },
    },
    ...deps.plugins.stopPodSteps.map((step) => ({ ...step, after: ['containers'] })),
    ...networkSteps(deps),
    ...(infra === 'none' ? [shmStep(deps, 'containers')] : pauseSteps(deps)),
    {
      name: 'delete',
      after: ['containers'],
      async run({ id }) {
        const left = records.containers.ofSandbox(id).filter((c) => c.phase === 'exited');
        await finishEach(left, (container) => containerEnd.deleteFromRuntime(container));
      },
    },
  ];
}

function networkSteps(deps: StopPodDeps): readonly Step<Sandbox>[] {
  const { paths, network, namespaces } = deps;
  return [
    {
      name: 'network',
      // Plugins may still want to see what it has.
      after: ['containers', ...deps.plugins.stopPodSteps.map(({ name }) => name)],
      async run({ id, config, facts }) {
        if (!facts.hostNetwork) {
          const netnsPath = paths.netns(id);
          const pod = podNetwork(id, config, { netnsPath, cgroupParent: facts.cgroupParent });
          // A record of another version may lack it; without any, nothing was attached.
          const used = facts.networkConfig ?? facts.attachment?.config;
          const result = facts.attachment?.result;
          if (used !== undefined) {
            await network.detach(pod, { config: used, result });
          }
        }
      },
    },
    {
      name: 'netns',
      after: ['network'],
      async run({ id, facts }) {
        if (facts.infra === 'none') {
          await unpinNamespaces(deps, id);
        } else if (!facts.hostNetwork) {
          await namespaces.removeNetns(paths.netns(id));
        }
      },
    },
    {
      name: 'userns',
      after: ['netns'],
      async run({ id, config }) {
        if (mappingsOf({ config }) !== undefined) {
          await namespaces.remove(paths.userns(id));
        }
      },
    },
  ];
}

function pauseSteps(deps: StopPodDeps): readonly Step<Sandbox>[] {
  const { runtime, handlers } = deps;
  return [
    {
      name: 'pause',
      after: ['containers'],
      async run({ id, facts }) {
        const handler = handlers.forTeardown(facts.handler);
        await runtime.killAll(handler, id, facts.pause?.init, facts.pause?.monitor);
        await runtime.delete(handler, id);
      },
    },
    { name: 'root', after: ['pause'], run: ({ id }) => releaseRoot(deps, id) },
    shmStep(deps, 'pause'),
  ];
}

function shmStep(deps: StopPodDeps, after: string): Step<Sandbox> {
  return { name: 'shm', after: [after], run: ({ id }) => removeShm(deps, id) };
}

/**
 * Stops a pod whose lock is held: not ready first, then all that it has on the
 * host but its files. Stopped already is a success. A step that fails leaves
 * the pod not ready; the next call does what is left.
 */
export async function stopPod(deps: StopPodDeps, sandboxId: string): Promise<void> {
  const { records } = deps;
  const sandbox = records.sandboxes.find(sandboxId);
  if (sandbox === undefined || sandbox.phase === 'stopped') {
    return;
  }
  if (sandbox.phase === 'creating') {
    throw new RuntimeError('failed-precondition', `stop pod sandbox ${sandboxId}: not made yet`);
  }
  await tearDown(deps, {
    operation: 'stop-pod-sandbox',
    doing: `stop pod sandbox ${shortId(sandboxId)}`,
    subject: sandbox,
    sandboxId,
    steps: stopPodSteps(deps, sandbox),
    keepGoing: true,
    begun: () => records.sandboxes.update(sandboxId, { phase: 'notready' }),
    done: () => records.sandboxes.update(sandboxId, { phase: 'stopped' }),
  });
}
