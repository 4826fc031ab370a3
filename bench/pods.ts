import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeService } from '@gantry/proto';
import { dial, type RpcClient } from '@gantry/rpc';
import { busyboxImage, runDir, startStack } from '@gantry/tests-e2e';
import { startContainerd } from './containerd.ts';
import { printTable, type Row } from './table.ts';

type Runtime = RpcClient<typeof RuntimeService>;
type Samples = Map<string, number[]>;

/** The most that Gantry may take of containerd's time, row by row. */
const goals: Readonly<Record<string, number>> = {
  'run + create + start': 0.8,
  'stop + remove + stop pod + remove pod': 0.8,
  ExecSync: 1.0,
  Version: 2.0,
};

/** Measures the life of a pod in both runtimes, in turns, and prints medians and ratios. */
export async function comparePods(rounds: number): Promise<void> {
  const dir = join(runDir(), 'peer');
  await mkdir(dir);
  const pause = 'localhost/gantry/pause:1';
  await using stack = await startStack();
  await using containerd = await startContainerd(dir, { pause, busybox: busyboxImage });
  const sides = [
    { name: 'gantry', connection: dial(stack.socket), samples: new Map<string, number[]>() },
    {
      name: 'containerd',
      connection: dial(containerd.socket),
      samples: new Map<string, number[]>(),
    },
  ];
  try {
    // The first rounds warm caches and compilers on both sides and do not count.
    for (let round = -2; round < rounds; round++) {
      const order = round % 2 === 0 ? sides : sides.toReversed();
      for (const { name, connection, samples } of order) {
        const runtime = connection.client(RuntimeService);
        await onePod(runtime, `${name}-${round}`, round < 0 ? new Map() : samples);
      }
    }
  } finally {
    for (const { connection } of sides) {
      connection.close();
    }
  }
  const [ours, theirs] = sides;
  if (ours !== undefined && theirs !== undefined) {
    printTable(rows(ours.samples, theirs.samples), rounds);
  }
}

async function onePod(runtime: Runtime, name: string, samples: Samples): Promise<void> {
  const timed = async <T>(row: string, call: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    const result = await call();
    const list = samples.get(row) ?? [];
    list.push(performance.now() - start);
    samples.set(row, list);
    return result;
  };
  const config = {
    metadata: { name, namespace: 'bench', uid: randomUUID(), attempt: 0 },
    logDirectory: join(runDir(), 'logs', name),
    linux: { cgroupParent: `/${runDir().split('/').at(-1)}/bench` },
  };
  for (let i = 0; i < 20; i++) {
    await timed('Version', () => runtime.version({}));
  }
  const { podSandboxId } = await timed('RunPodSandbox', () => runtime.runPodSandbox({ config }));
  const { containerId } = await timed('CreateContainer', () =>
    runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: {
        metadata: { name: 'c', attempt: 0 },
        image: { image: busyboxImage },
        command: ['sleep', '1000'],
        logPath: 'c.log',
        linux: {},
      },
    }),
  );
  await timed('StartContainer', () => runtime.startContainer({ containerId }));
  for (let i = 0; i < 3; i++) {
    await timed('ExecSync', () => runtime.execSync({ containerId, cmd: ['true'] }));
  }
  for (let i = 0; i < 5; i++) {
    await timed('ContainerStatus', () => runtime.containerStatus({ containerId }));
  }
  await timed('StopContainer', () => runtime.stopContainer({ containerId, timeout: 0n }));
  await timed('RemoveContainer', () => runtime.removeContainer({ containerId }));
  await timed('StopPodSandbox', () => runtime.stopPodSandbox({ podSandboxId }));
  await timed('RemovePodSandbox', () => runtime.removePodSandbox({ podSandboxId }));
}

function rows(ours: Samples, theirs: Samples): Row[] {
  const single = [...ours.keys()].map((name) => row(name, ours.get(name), theirs.get(name)));
  const sum = (name: string, parts: readonly string[]): Row =>
    row(name, addUp(ours, parts), addUp(theirs, parts));
  return [
    ...single,
    sum('run + create + start', ['RunPodSandbox', 'CreateContainer', 'StartContainer']),
    sum('stop + remove + stop pod + remove pod', [
      'StopContainer',
      'RemoveContainer',
      'StopPodSandbox',
      'RemovePodSandbox',
    ]),
  ];
}

function row(name: string, ours: readonly number[] = [], theirs: readonly number[] = []): Row {
  const goal = goals[name];
  return { name, ours, theirs, ...(goal === undefined ? {} : { goal }) };
}

/** Round by round, so that the median is of whole sequences. */
function addUp(samples: Samples, parts: readonly string[]): number[] {
  const lists = parts.map((part) => samples.get(part) ?? []);
  return (lists[0] ?? []).map((_, i) => lists.reduce((total, list) => total + (list[i] ?? 0), 0));
}
