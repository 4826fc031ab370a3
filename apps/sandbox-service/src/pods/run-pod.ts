import { randomInt } from 'node:crypto';
import { kindOf, RuntimeError } from '@gantry/errors';
import { freeSelinuxLevel, podLabels, type SelinuxPolicy, selinuxLevelOf } from '@gantry/oci-spec';
import { type RunPodSandboxRequest, RunPodSandboxRequestSchema } from '@gantry/proto';
import type { ExitWatch } from '../containers/exit-watch.ts';
import { requireKnownLabels } from '../containers/selinux-labels.ts';
import type { Handlers } from '../handlers.ts';
import { newId, type ObjectId, shortId } from '../ids.ts';
import type { Operation } from '../journal/journal.ts';
import { type RunOptions, runSteps, undoAfter, undoSteps } from '../journal/steps.ts';
import type { Clock, Mounts, Network } from '../ports.ts';
import type { Caller, Creation, SharedCreations } from '../shared-creation.ts';
import { fingerprint } from '../store/fingerprint.ts';
import { sandboxName } from '../store/name-store.ts';
import type { Records } from '../store/records.ts';
import type { Sandbox, SandboxFacts } from '../store/sandbox-store.ts';
import { type Infra, infraOf } from './pinned-namespaces.ts';
import type { PodLock } from './pod-lock.ts';
import {
  type CheckedPodConfig,
  checkPodConfig,
  namingPod,
  runningPod,
  usesHostIpc,
  usesHostNetwork,
} from './pod-request.ts';
import type { PodSteps, PodWork } from './pod-steps.ts';
import { requireUserNamespaces } from './user-namespace.ts';

export interface RunPodDeps {
  readonly records: Records;
  readonly handlers: Handlers;
  readonly podLock: PodLock;
  readonly network: Pick<Network, 'plan'>;
  readonly creations: SharedCreations;
  readonly clock: Clock;
  readonly faultPoint: (name: string) => void;
  readonly exits: Pick<ExitWatch, 'watchMonitor'>;
  readonly steps: PodSteps;
  readonly mounts: Pick<Mounts, 'knowsLabel'>;
  /** What is configured. */
  readonly infra: Infra;
  /** The labels of the host's policy for containers; absent where pods get none. */
  readonly selinux?: SelinuxPolicy | undefined;
  /** The cgroup of pods that name none. */
  readonly cgroupParent: string;
}

const operation = 'run-pod-sandbox';

/**
 * Makes a pod and returns its id once it is ready. On failure everything is
 * undone and the name is free again. The same request once more, while the
 * first runs or after its caller's deadline, gets the first one's id.
 */
export function runPod(
  deps: RunPodDeps,
  request: RunPodSandboxRequest,
  caller: Caller,
): Promise<string> {
  const config = checkPodConfig(request.config);
  const handler = namingPod(config, () => {
    const chosen = deps.handlers.choose(request.runtimeHandler);
    requireUserNamespaces(config, chosen);
    return chosen;
  });
  const name = sandboxName(config.metadata);
  const print = fingerprint(RunPodSandboxRequestSchema, request);

  return deps.creations.run(name, print, caller, async (creation) => {
    const earlier = await earlierResult(deps, name, print, creation.signal);
    if (earlier !== undefined) {
      return earlier;
    }
    const facts: SandboxFacts = {
      name,
      fingerprint: print,
      delivered: false,
      requestedHandler: request.runtimeHandler,
      handler: handler.name,
      createdAtNanos: deps.clock(),
      infra: infraOf(deps.infra, config),
      hostNetwork: usesHostNetwork(config),
      ownShm: !usesHostIpc(config),
      cgroupParent: config.linux?.cgroupParent || deps.cgroupParent,
      ...(usesHostNetwork(config) ? {} : { networkConfig: await plannedNetwork(deps, config) }),
    };
    const sandbox: Sandbox = { id: newId(), phase: 'creating', config, facts };
    await deps.podLock.run(sandbox.id, () => makePod(deps, sandbox, config, creation));
    return sandbox.id;
  });
}

async function plannedNetwork({ network }: RunPodDeps, config: CheckedPodConfig): Promise<unknown> {
  try {
    return await network.plan();
  } catch (cause) {
    throw new RuntimeError(kindOf(cause), `${runningPod(config)}: network`, { cause });
  }
}

/** Undoes all that the making of a pod may have left on the host; its record stays. */
export async function undoPod(
  { steps, faultPoint }: Pick<RunPodDeps, 'steps' | 'faultPoint'>,
  work: PodWork,
): Promise<void> {
  const doing = `run pod sandbox ${shortId(work.sandbox.id)}`;
  await undoSteps(steps(work.sandbox), work, { operation, doing, faultPoint });
}

async function makePod(
  deps: RunPodDeps,
  wanted: Sandbox,
  config: CheckedPodConfig,
  creation: Creation,
): Promise<void> {
  const { records } = deps;
  const { op, sandbox } = reserve(deps, wanted);
  const work: PodWork = { sandbox };
  const options: RunOptions = {
    operation,
    doing: runningPod(config),
    signal: creation.signal,
    trail: op.trail,
    faultPoint: deps.faultPoint,
  };
  try {
    await requireKnownLabels(deps.mounts, sandbox.facts.selinux, config.linux?.securityContext);
    await runSteps(deps.steps(sandbox), work, options);
    records.commit(() => {
      records.sandboxes.update(sandbox.id, { phase: 'ready', facts: learnt(deps, work, creation) });
      records.journal.end(op, 'done');
    });
  } catch (error) {
    throw await giveUp(deps, work, op, error);
  }
  // Here, and not where the answer is given: nobody may be waiting for one.
  deps.exits.watchMonitor(sandbox.id, work.pause?.monitor);
}

function reserve(
  deps: RunPodDeps,
  sandbox: Sandbox,
): { readonly op: Operation; readonly sandbox: Sandbox } {
  const { records, faultPoint } = deps;
  faultPoint(`${operation}:intent`);
  const reserved = records.commit(() => {
    records.names.reserve(sandbox.facts.name, sandbox.id);
    const labelled = withLabels(deps, sandbox);
    records.sandboxes.insert(labelled);
    return { op: records.journal.begin(operation, sandbox.id, sandbox.id), sandbox: labelled };
  });
  faultPoint(`${operation}:intent:done`);
  return reserved;
}

/** Within the transaction that inserts it: no other pod, of no other instance, gets its SELinux level. */
function withLabels({ records, selinux }: RunPodDeps, sandbox: Sandbox): Sandbox {
  if (selinux === undefined) {
    return sandbox;
  }
  const options = sandbox.config.linux?.securityContext?.selinuxOptions;
  const others = records.sandboxes.list().flatMap(({ facts }) => facts.selinux ?? []);
  const taken = new Set(others.map(({ process }) => selinuxLevelOf(process)));
  const labels = podLabels(selinux, options, freeSelinuxLevel(taken, randomInt));
  return { ...sandbox, facts: { ...sandbox.facts, selinux: labels } };
}

function learnt({ clock }: RunPodDeps, work: PodWork, creation: Creation): Partial<SandboxFacts> {
  const { attachment, cgroupsPath, pause, root } = work;
  return {
    delivered: creation.awaited(),
    createdAtNanos: clock(),
    ...(attachment === undefined ? {} : { attachment }),
    ...(cgroupsPath === undefined ? {} : { cgroupsPath }),
    ...(pause === undefined ? {} : { pause }),
    ...(root === undefined ? {} : { image: imageFacts(root.image) }),
  };
}

/** The part of an image that a record keeps. */
export function imageFacts(image: {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
}): NonNullable<SandboxFacts['image']> {
  return { id: image.id, repoTags: image.repoTags, repoDigests: image.repoDigests };
}

/**
 * Undoes, and returns what to tell. Where that fails too the pod is shown, so
 * that a client asks for its removal again.
 */
async function giveUp(
  deps: RunPodDeps,
  work: PodWork,
  op: Operation,
  cause: unknown,
): Promise<unknown> {
  const { records, steps, faultPoint } = deps;
  const { id } = work.sandbox;
  const doing = `run pod sandbox ${shortId(id)}`;
  const { error, isUndone } = await undoAfter(cause, steps(work.sandbox), work, {
    operation,
    doing,
    faultPoint,
  });
  records.commit(() => {
    if (isUndone) {
      records.sandboxes.remove(id);
      records.names.releaseOf(id);
    } else {
      records.sandboxes.update(id, { phase: 'notready', facts: { delivered: true } });
    }
    records.journal.end(op, 'failed', error);
  });
  return error;
}

/**
 * The id of a pod that the same request has made already, where the caller of
 * that time was not told, or was still waiting when this one came. Throws
 * `already-exists` when the name belongs to another pod.
 */
async function earlierResult(
  deps: RunPodDeps,
  name: string,
  print: string,
  signal: AbortSignal,
): Promise<ObjectId | undefined> {
  const { records, podLock } = deps;
  const before = sandboxNamed(records, name);
  if (before === undefined) {
    return undefined;
  }
  // Under its lock it is no longer in the making: it stands, or it is gone.
  const now = await podLock.run(
    before.id,
    () => Promise.resolve(records.sandboxes.find(before.id)),
    {
      signal,
    },
  );
  if (now === undefined) {
    return undefined;
  }
  const shared = before.phase === 'creating' || !now.facts.delivered;
  if (now.facts.fingerprint === print && now.phase === 'ready' && shared) {
    records.sandboxes.update(now.id, { facts: { delivered: true } });
    return now.id;
  }
  throw new RuntimeError(
    'already-exists',
    `run pod sandbox: name "${name}" is reserved for "${now.id}"`,
  );
}

function sandboxNamed(records: Records, name: string): Sandbox | undefined {
  const owner = records.names.ownerOf(name);
  return owner === undefined ? undefined : records.sandboxes.find(owner);
}
