import { dirname } from 'node:path';
import { kindOf, RuntimeError } from '@gantry/errors';
import type { OciSpec } from '@gantry/oci';
import type { LinuxContainerResources } from '@gantry/proto';
import type { Handlers } from '../handlers.ts';
import { shortId } from '../ids.ts';
import { runSteps, type Step, undoAfter, undoSteps } from '../journal/steps.ts';
import type { Paths } from '../paths.ts';
import { readSpec, writeSpec } from '../pods/pod-steps.ts';
import type { CallOptions, Processes, Runtime } from '../ports.ts';
import { cgroupDirectoryOf } from '../runtime/container-cgroup.ts';
import type { Specs } from '../specs/specs.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import { readResources, writeResources } from '../store/updated-resources.ts';
import { mergeResources, putBackResources } from './merge-resources.ts';

export interface UpdateResourcesDeps {
  readonly records: Records;
  readonly paths: Paths;
  readonly runtime: Pick<Runtime, 'update'>;
  readonly processes: Pick<Processes, 'allowance' | 'allowanceIn' | 'isRunning'>;
  readonly specs: Pick<Specs, 'limits'>;
  readonly handlers: Handlers;
  readonly faultPoint: (name: string) => void;
}

/** An update in the making; its container's record has the limits from before. */
interface UpdateWork {
  readonly container: Container;
  readonly after: LinuxContainerResources;
}

const operation = 'update-container';

/** First the kernel, which may refuse, then config.json; the record is the caller's. */
function updateSteps(deps: UpdateResourcesDeps): readonly Step<UpdateWork>[] {
  return [
    {
      name: 'limits',
      async run({ container, after }, signal) {
        if (container.phase === 'running') {
          await setLimits(deps, container, after, { signal });
        }
      },
      async undo({ container, after }) {
        const { init } = container.facts;
        if (init !== undefined && (await deps.processes.isRunning(init))) {
          const inherited = await inheritedOf(deps, container);
          const before = putBackResources(container.config.linux?.resources, after, inherited);
          await setLimits(deps, container, before);
        }
      },
    },
    {
      name: 'spec',
      run: ({ container, after }) => writeLimits(deps, container, after),
      undo: ({ container }) => writeLimits(deps, container, container.config.linux?.resources),
    },
  ];
}

/**
 * Changes the limits of a created or running container whose pod's lock is
 * held. On failure or abort the old ones hold, and stand in its record.
 * Throws `failed-precondition` for one that has exited, and where the OCI
 * runtime refuses; `invalid-argument` for limits that make no sense.
 */
export async function updateResources(
  deps: UpdateResourcesDeps,
  id: string,
  wanted: LinuxContainerResources | undefined,
  { signal = new AbortController().signal }: CallOptions = {},
): Promise<void> {
  const { records, faultPoint } = deps;
  const container = records.containers.get(id);
  const doing = `update resources of container ${shortId(id)}`;
  if (container.phase !== 'created' && container.phase !== 'running') {
    throw new RuntimeError('failed-precondition', `${doing}: it has ${container.phase}`);
  }
  const after = mergeResources(container.config.linux?.resources, wanted);
  // Nonsense is told before anything is touched, also where the merge leaves it out.
  try {
    await deps.specs.limits(wanted);
    await deps.specs.limits(after);
  } catch (cause) {
    throw new RuntimeError(kindOf(cause), doing, { cause });
  }

  faultPoint(`${operation}:intent`);
  const op = records.commit(() => {
    records.containers.update(id, { facts: { pendingResources: writeResources(after) } });
    return records.journal.begin(operation, id, container.sandboxId);
  });
  faultPoint(`${operation}:intent:done`);

  const steps = updateSteps(deps);
  const work: UpdateWork = { container, after };
  try {
    await runSteps(steps, work, { operation, doing, signal, trail: op.trail, faultPoint });
  } catch (cause) {
    const { error } = await undoAfter(cause, steps, work, { operation, doing, faultPoint });
    records.commit(() => {
      records.journal.end(op, 'failed', error);
    });
    throw error;
  }
  records.commit(() => {
    records.containers.update(id, { facts: { resources: writeResources(after) } });
    records.journal.end(op, 'done');
  });
}

/** Puts back the limits of the record after a crash in the middle; the lock of the pod is held. */
export async function undoUpdate(deps: UpdateResourcesDeps, container: Container): Promise<void> {
  const { pendingResources } = container.facts;
  if (pendingResources !== undefined) {
    const work = { container, after: readResources(pendingResources) };
    const doing = `update resources of container ${shortId(container.id)}`;
    await undoSteps(updateSteps(deps), work, { operation, doing, faultPoint: deps.faultPoint });
  }
}

async function setLimits(
  deps: UpdateResourcesDeps,
  { id, facts }: Container,
  resources: LinuxContainerResources,
  options: CallOptions = {},
): Promise<void> {
  const { specs, runtime, handlers } = deps;
  await runtime.update(handlers.get(facts.handler), id, await specs.limits(resources), options);
}

/** What a cgroup beside it has that was told nothing: that of the pause process, or the one above. */
async function inheritedOf({ records, processes }: UpdateResourcesDeps, container: Container) {
  const pause = records.sandboxes.find(container.sandboxId)?.facts.pause;
  const { cgroupsPath } = container.facts;
  if (pause !== undefined) {
    return processes.allowance(pause.init);
  }
  return cgroupsPath === undefined
    ? { cpus: '', mems: '' }
    : processes.allowanceIn(dirname(cgroupDirectoryOf(cgroupsPath)));
}

async function writeLimits(
  { paths, specs }: UpdateResourcesDeps,
  { id }: Container,
  resources: LinuxContainerResources | undefined,
): Promise<void> {
  const spec = await readSpec(paths, id);
  if (spec !== undefined) {
    await writeSpec(paths, id, withLimits(spec, await specs.limits(resources)));
  }
}

/** The devices and the number of processes are no part of the request. */
function withLimits(spec: OciSpec, limits: NonNullable<OciSpec['linux']['resources']>): OciSpec {
  const { devices, pids } = spec.linux.resources ?? {};
  const kept = {
    ...(devices === undefined ? {} : { devices }),
    ...(pids === undefined ? {} : { pids }),
  };
  return { ...spec, linux: { ...spec.linux, resources: { ...kept, ...limits } } };
}
