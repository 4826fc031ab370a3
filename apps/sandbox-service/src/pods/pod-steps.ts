import { mkdir, readFile } from 'node:fs/promises';
import type { Config } from '@gantry/config';
import { type ErrorKind, kindOf, messageOf, RuntimeError } from '@gantry/errors';
import { writeFileAtomic } from '@gantry/host';
import type { OciSpec } from '@gantry/oci';
import { cgroupsPath } from '@gantry/oci-spec';
import { isMissing } from '../errno.ts';
import type { Handlers } from '../handlers.ts';
import type { Step } from '../journal/steps.ts';
import type { Paths } from '../paths.ts';
import type {
  Attachment,
  Mounts,
  Namespaces,
  Network,
  PreparedRoot,
  ProcessId,
  RootFilesystems,
  Runtime,
} from '../ports.ts';
import { mountRoot, releaseRoot, removeBundle } from '../rootfs.ts';
import type { Specs } from '../specs/specs.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { pinNamespaces, unpinNamespaces } from './pinned-namespaces.ts';
import { podNetwork } from './pod-request.ts';
import { makeSandboxFiles, removeSandboxFiles } from './sandbox-files.ts';
import { mappingsOf, rangesOf } from './user-namespace.ts';

export interface PodStepDeps {
  readonly paths: Paths;
  readonly network: Network;
  readonly runtime: Runtime;
  readonly roots: RootFilesystems;
  readonly mounts: Mounts;
  readonly namespaces: Namespaces;
  readonly specs: Specs;
  readonly handlers: Handlers;
  readonly config: Pick<Config, 'pods'>;
}

/** A pod in the making. Undo needs `sandbox` alone; the rest is what the steps found out. */
export interface PodWork {
  readonly sandbox: Sandbox;
  root?: PreparedRoot;
  attachment?: Attachment;
  cgroupsPath?: string;
  pause?: { readonly init: ProcessId; readonly monitor: ProcessId };
}

/**
 * How a pod comes to be. The network is attached beside everything else: only
 * the namespace must be there first.
 *
 *   root ───┬─▶ mount ──▶ spec ──┬─▶ create ──▶ start
 *   netns ──┤                    │
 *   files ──┼────────────────────┘
 *           └─▶ network
 *
 * and without a pause container
 *
 *   files
 *   spec ──▶ namespaces ──▶ network
 */
export function podSteps(deps: PodStepDeps): PodSteps {
  const files = filesStep(deps);
  const netns = netnsStep(deps);
  const withPause = [
    files,
    netns,
    networkStep(deps, netns.name),
    ...rootSteps(deps),
    ...pauseSteps(deps),
  ];
  const namespaces = namespacesStep(deps);
  const without = [files, checkStep(deps), namespaces, networkStep(deps, namespaces.name)];
  return ({ facts }) => (facts.infra === 'none' ? without : withPause);
}

/** The steps by which a pod is made, and undone, that its record stands for. */
export type PodSteps = (sandbox: Sandbox) => readonly Step<PodWork>[];

function filesStep(deps: PodStepDeps): Step<PodWork> {
  return {
    name: 'files',
    after: [],
    run: ({ sandbox }) => makeSandboxFiles(deps, sandbox),
    undo: ({ sandbox }) => removeSandboxFiles(deps, sandbox.id),
  };
}

function netnsStep({ paths, namespaces }: PodStepDeps): Step<PodWork> {
  return {
    name: 'netns',
    after: [],
    async run({ sandbox }) {
      const { id, facts } = sandbox;
      const mappings = mappingsOf(sandbox);
      const network = facts.hostNetwork ? {} : { network: paths.netns(id) };
      if (mappings !== undefined) {
        await namespaces.createUsers({ user: paths.userns(id), ...network }, rangesOf(mappings));
      } else if (!facts.hostNetwork) {
        await namespaces.createNetns(paths.netns(id));
      }
    },
    async undo({ sandbox }) {
      await namespaces.removeNetns(paths.netns(sandbox.id));
      await namespaces.remove(paths.userns(sandbox.id));
    },
  };
}

/** Takes the place of the pause container's spec: what that would be refused for is refused. */
function checkStep({ specs }: PodStepDeps): Step<PodWork> {
  return { name: 'spec', after: [], run: ({ sandbox }) => specs.checkPod(sandbox) };
}

/** Takes the place of the pause container. */
function namespacesStep(deps: PodStepDeps): Step<PodWork> {
  return {
    name: 'namespaces',
    after: ['spec'],
    async run(work) {
      const { id, facts } = work.sandbox;
      const { systemdCgroup } = deps.handlers.get(facts.handler);
      // No process of the pod is there; its containers' cgroups lie beside it.
      work.cgroupsPath = cgroupsPath(facts.cgroupParent, id, systemdCgroup);
      await pinNamespaces(deps, work.sandbox).catch(explainSysctl);
    },
    undo: ({ sandbox }) => unpinNamespaces(deps, sandbox.id),
  };
}

function networkStep({ paths, network }: PodStepDeps, after: string): Step<PodWork> {
  const pod = ({ id, config, facts }: Sandbox) =>
    podNetwork(id, config, { netnsPath: paths.netns(id), cgroupParent: facts.cgroupParent });
  return {
    name: 'network',
    after: [after],
    async run(work, signal) {
      const { facts } = work.sandbox;
      if (!facts.hostNetwork) {
        work.attachment = await network.attach(pod(work.sandbox), facts.networkConfig, { signal });
      }
    },
    async undo({ sandbox, attachment }) {
      const { hostNetwork, networkConfig } = sandbox.facts;
      if (!hostNetwork) {
        const result = attachment?.result;
        await network.detach(pod(sandbox), { config: networkConfig, result });
      }
    },
  };
}

function rootSteps(deps: PodStepDeps): readonly Step<PodWork>[] {
  const { roots, config } = deps;
  return [
    {
      name: 'root',
      after: [],
      async run(work, signal) {
        const mappings = mappingsOf(work.sandbox);
        const image = config.pods.sandbox_image;
        const options = { signal, pullIfMissing: true, ...(mappings && { mappings }) };
        try {
          work.root = await roots.prepare(work.sandbox.id, image, options);
        } catch (error) {
          throw explainRoot(image, error);
        }
      },
      undo: ({ sandbox }) => releaseRoot(deps, sandbox.id),
    },
    {
      name: 'mount',
      // A user namespace must be there for its view of the layers.
      after: ['root', 'netns'],
      run: ({ sandbox, root }) =>
        mountRoot(deps, sandbox.id, need(root), sandbox, sandbox.facts.selinux?.mount),
      undo: ({ sandbox }) => removeBundle(deps, sandbox.id),
    },
    {
      name: 'spec',
      after: ['mount'],
      async run(work) {
        const { id } = work.sandbox;
        const spec = await deps.specs.pause(work.sandbox, need(work.root));
        await writeSpec(deps.paths, id, spec);
        if (spec.linux.cgroupsPath !== undefined) {
          work.cgroupsPath = spec.linux.cgroupsPath;
        }
      },
    },
  ];
}

/** What a pull fails with; a full disk, a cancel or damage speak for themselves. */
const pullFailures: ReadonlySet<ErrorKind> = new Set(['not-found', 'unavailable', 'unknown']);

/** Of the host `localhost` are images that no registry has: our own, and those that were imported. */
function explainRoot(image: string, cause: unknown): unknown {
  const kind = kindOf(cause);
  if (!image.startsWith('localhost/') || !pullFailures.has(kind)) {
    return cause;
  }
  const remedy = image.startsWith('localhost/gantry/')
    ? 'gantry up makes it when it starts'
    : 'gantry image import brings it';
  return new RuntimeError(kind, `sandbox image ${image} is not there: ${remedy}`, { cause });
}

function pauseSteps(deps: PodStepDeps): readonly Step<PodWork>[] {
  const { paths, runtime, handlers } = deps;
  return [
    {
      name: 'create',
      after: ['spec', 'files', 'netns'],
      async run(work, signal) {
        const { id, config, facts } = work.sandbox;
        const launched = runtime.create(
          {
            id,
            name: config.metadata?.name ?? id,
            handler: handlers.get(facts.handler),
            bundleDir: paths.bundle(id),
            stdin: false,
            stdinOnce: false,
            tty: false,
          },
          { signal },
        );
        work.pause = await launched.catch(explainSysctl);
      },
      async undo({ sandbox, pause }) {
        const handler = handlers.forTeardown(sandbox.facts.handler);
        await runtime.killAll(handler, sandbox.id, pause?.init, pause?.monitor);
        await runtime.delete(handler, sandbox.id);
      },
    },
    {
      name: 'start',
      run: ({ sandbox }, signal) =>
        runtime.start(handlers.get(sandbox.facts.handler), sandbox.id, { signal }),
    },
  ];
}

/** Which sysctls there are, and which values they take, only the kernel knows: the request is wrong and not we. */
function explainSysctl(cause: unknown): never {
  if (messageOf(cause).includes('/proc/sys/')) {
    throw new RuntimeError('invalid-argument', 'config.linux.sysctls', { cause });
  }
  throw cause;
}

/** Writes config.json for the eyes of root only: it has the container's environment. */
export async function writeSpec(paths: Paths, ownerId: string, spec: OciSpec): Promise<void> {
  await mkdir(paths.bundle(ownerId), { recursive: true, mode: 0o700 });
  await writeFileAtomic(paths.spec(ownerId), JSON.stringify(spec), { mode: 0o600 });
}

/** Undefined where no config.json was written. */
export async function readSpec(paths: Paths, ownerId: string): Promise<OciSpec | undefined> {
  try {
    return JSON.parse(await readFile(paths.spec(ownerId), 'utf8')) as OciSpec;
  } catch (error) {
    if (isMissing(error)) {
      return undefined;
    }
    throw error;
  }
}

function need<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new Error('a step ran before the one that it comes after');
  }
  return value;
}
