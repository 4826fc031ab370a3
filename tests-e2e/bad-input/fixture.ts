import { mkdir, mkdtemp, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ContainerState } from '@gantry/proto';
import {
  type ContainerConfig,
  type PodConfig,
  podConfig,
  type RunningPod,
  runPod,
  shellContainer,
  startContainer,
} from '../harness/pod.ts';
import { runDir } from '../harness/run-dir.ts';
import { type Stack, startStack } from '../harness/stack.ts';
import { until } from '../harness/until.ts';

/** A stack with one thing of each kind and state, for wrong requests to be about. */
export interface Fixture {
  readonly stack: Stack;
  /** A directory of the host with `file`, `directory` and `loop`, a link to itself. */
  readonly dir: string;
  readonly pod: RunningPod;
  readonly stoppedPod: RunningPod;
  readonly running: string;
  readonly created: string;
  readonly exited: string;
  /** Runs in another pod. */
  readonly foreign: string;
  /** Sends a config for a pod; what is in `more` replaces whole fields. */
  readonly runPod: (more: object, runtimeHandler?: string) => Promise<unknown>;
  /** Sends a config for a container of `pod`. */
  readonly createContainer: (more: object) => Promise<unknown>;
}

export async function startFixture(): Promise<Fixture & AsyncDisposable> {
  const stack = await startStack();
  const dir = await mkdtemp(join(runDir(), 'host-'));
  await mkdir(join(dir, 'directory'));
  await writeFile(join(dir, 'file'), 'of the host\n');
  await symlink('loop', join(dir, 'loop'));
  const pod = await runPod(stack, podConfig(stack, 'ready'));
  const stoppedPod = await runPod(stack, podConfig(stack, 'stopped'));
  await stack.runtime.stopPodSandbox(stoppedPod);
  const otherPod = await runPod(stack, podConfig(stack, 'other'));
  const resources = { cpuShares: 512n, memoryLimitInBytes: 256n << 20n };
  const start = (name: string, script: string, inPod = pod): Promise<string> =>
    startContainer(
      stack,
      inPod,
      shellContainer(name, script, { linux: { resources } } as Partial<ContainerConfig>),
    );
  const running = await start('running', 'exec sleep 100000');
  const exited = await start('exited', 'exit 3');
  const foreign = await start('foreign', 'exec sleep 100000', otherPod);
  const { containerId: created } = await stack.runtime.createContainer({
    podSandboxId: pod.podSandboxId,
    config: shellContainer('created', 'exec sleep 100000'),
  });
  await until(
    'a container has exited',
    async () => (await stack.runtime.containerStatus({ containerId: exited })).status?.state,
    (state) => state === ContainerState.CONTAINER_EXITED,
  );
  return {
    stack,
    dir,
    pod,
    stoppedPod,
    running,
    created,
    exited,
    foreign,
    runPod: (more, runtimeHandler = '') =>
      stack.runtime.runPodSandbox({
        config: podConfig(stack, 'bad', more as Partial<PodConfig>),
        runtimeHandler,
      }),
    createContainer: (more) =>
      stack.runtime.createContainer({
        podSandboxId: pod.podSandboxId,
        config: shellContainer('bad', 'true', more as Partial<ContainerConfig>),
        sandboxConfig: pod.config,
      }),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** All that is told of what the fixture has, and the files in its directory: limits, configs, addresses, the pod CIDR. */
export async function detailsOf({ stack, dir, ...things }: Fixture): Promise<object> {
  const { runtime } = stack;
  const verbose = true;
  const pods = [things.pod, things.stoppedPod].map(async ({ podSandboxId }) => {
    const { timestamp: _, ...status } = await runtime.podSandboxStatus({ podSandboxId, verbose });
    return status;
  });
  const containers = [things.running, things.created, things.exited].map((containerId) =>
    runtime.containerStatus({ containerId, verbose }),
  );
  return {
    pods: await Promise.all(pods),
    containers: await Promise.all(containers),
    node: await runtime.status({ verbose }),
    files: await readdir(dir, { recursive: true }),
  };
}
