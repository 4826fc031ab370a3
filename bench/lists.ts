import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { stdout } from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { RuntimeService } from '@gantry/proto';
import { dial, type RpcClient } from '@gantry/rpc';
import { busyboxImage, pidsOf, runDir, type Stack, startStack } from '@gantry/tests-e2e';
import { startContainerd } from './containerd.ts';
import { printTable, type Row } from './table.ts';

type Runtime = RpcClient<typeof RuntimeService>;

const podCount = 40;
const containersPerPod = 5;
const idleMs = 60_000;
/** How long a client that asks for something else waits between two of its calls. */
const beatMs = 2;

interface Side {
  readonly name: string;
  readonly runtime: Runtime;
  /** By what they are called. */
  readonly processes: () => ReadonlyMap<string, readonly number[]>;
  /** The containers of each. */
  readonly pods: Map<string, string[]>;
  readonly times: Map<string, number[]>;
  readonly cpu: Map<string, number[]>;
  readonly waits: Map<string, number[]>;
}

/** Lists and stats of 200 containers in both runtimes, in turns; what others wait meanwhile, and what rest costs. */
export async function compareLists(rounds: number): Promise<void> {
  const dir = join(runDir(), 'peer');
  await mkdir(dir);
  await using stack = await startStack();
  await using containerd = await startContainerd(dir, {
    pause: 'localhost/gantry/pause:1',
    busybox: busyboxImage,
  });
  const connections = [dial(stack.socket), dial(containerd.socket)];
  try {
    const [ours, theirs] = connections.map((connection) => connection.client(RuntimeService));
    if (ours === undefined || theirs === undefined) {
      return;
    }
    const sides = [
      side('gantry', ours, () => ourProcesses(stack)),
      side('containerd', theirs, () => theirProcesses(containerd.pid, containerd.socket)),
    ];
    for (const one of sides) {
      await fill(one);
    }
    for (const one of sides) {
      await rest(one);
    }
    for (let round = -3; round < rounds; round++) {
      for (const one of round % 2 === 0 ? sides : sides.toReversed()) {
        await measure(round < 0 ? { ...one, ...samples() } : one);
      }
    }
    report(sides, rounds);
    for (const one of sides) {
      await empty(one);
    }
  } finally {
    for (const connection of connections) {
      connection.close();
    }
  }
}

const samples = () => ({
  times: new Map<string, number[]>(),
  cpu: new Map<string, number[]>(),
  waits: new Map<string, number[]>(),
});

function side(name: string, runtime: Runtime, processes: Side['processes']): Side {
  return { name, runtime, processes, pods: new Map(), ...samples() };
}

/** As a kubelet does: a cgroup for each pod, logs, labels. */
async function fill({ name, runtime, pods }: Side): Promise<void> {
  stdout.write(`${name}: starting ${podCount * containersPerPod} containers\n`);
  for (let i = 0; i < podCount; i++) {
    const uid = randomUUID();
    const config = {
      metadata: { name: `pod-${i}`, namespace: 'bench', uid, attempt: 0 },
      labels: { 'io.kubernetes.pod.name': `pod-${i}`, 'io.kubernetes.pod.uid': uid },
      logDirectory: join(runDir(), 'logs', `${name}-${i}`),
      linux: { cgroupParent: `/${basename(runDir())}/${name}/pod${uid}` },
    };
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const containerIds: string[] = [];
    pods.set(podSandboxId, containerIds);
    for (let c = 0; c < containersPerPod; c++) {
      const { containerId } = await runtime.createContainer({
        podSandboxId,
        sandboxConfig: config,
        config: {
          metadata: { name: `c${c}`, attempt: 0 },
          image: { image: busyboxImage },
          command: ['sleep', '100000'],
          labels: { 'io.kubernetes.container.name': `c${c}` },
          annotations: { 'io.kubernetes.container.restartCount': '0' },
          logPath: `c${c}.log`,
          linux: { resources: { cpuShares: 128n, memoryLimitInBytes: 64n << 20n } },
        },
      });
      await runtime.startContainer({ containerId });
      containerIds.push(containerId);
    }
  }
}

/** containerd leaves the names of its network namespaces on the host otherwise. */
async function empty({ runtime, pods }: Side): Promise<void> {
  for (const podSandboxId of pods.keys()) {
    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
  }
}

/** What its processes take while nobody asks for anything. */
async function rest({ name, processes }: Side): Promise<void> {
  const before = processes();
  const cpuBefore = new Map([...before].map(([group, pids]) => [group, tickMs(pids)]));
  await delay(idleMs);
  stdout.write(
    `\n${name} at rest with ${podCount * containersPerPod} containers, ${idleMs / 1000} s\n`,
  );
  for (const [group, pids] of before) {
    const used = tickMs(pids) - (cpuBefore.get(group) ?? 0);
    const line = `${String(pids.length).padStart(4)} of them ${used.toFixed(1).padStart(9)} ms of CPU ${residentMb(pids).toFixed(0).padStart(6)} MB`;
    stdout.write(`  ${group.padEnd(18)}${line}\n`);
  }
}

interface Call {
  readonly run: (runtime: Runtime, containerId: string) => Promise<unknown>;
  /** How often in a round: a kubelet lists every second, and asks for stats every ten. */
  readonly times: number;
}

const calls: Readonly<Record<string, Call>> = {
  ListPodSandbox: { times: 10, run: (runtime) => runtime.listPodSandbox({}) },
  ListContainers: { times: 10, run: (runtime) => runtime.listContainers({}) },
  ContainerStatus: {
    times: 10,
    run: (runtime, containerId) => runtime.containerStatus({ containerId }),
  },
  ContainerStats: {
    times: 10,
    run: (runtime, containerId) => runtime.containerStats({ containerId }),
  },
  ListContainerStats: { times: 1, run: (runtime) => runtime.listContainerStats({}) },
  ListPodSandboxStats: { times: 1, run: (runtime) => runtime.listPodSandboxStats({}) },
  ListPodSandboxMetrics: { times: 1, run: (runtime) => runtime.listPodSandboxMetrics({}) },
};

async function measure({ runtime, processes, pods, times, cpu, waits }: Side): Promise<void> {
  const pids = [...processes().values()].flat();
  const ids = [...pods.values()].flat();
  for (const [name, { run, times: count }] of Object.entries(calls)) {
    for (let i = 0; i < count; i++) {
      const id = ids[Math.floor(Math.random() * ids.length)] ?? '';
      const cpuBefore = cpuMs(pids);
      const start = performance.now();
      // The peer's older releases do not have all of them.
      const worked = await run(runtime, id).then(
        () => true,
        () => false,
      );
      if (worked) {
        push(times, name, performance.now() - start);
        push(cpu, name, cpuMs(pids) - cpuBefore);
      }
    }
    if (times.has(name)) {
      push(waits, name, await longestWait(runtime, () => run(runtime, ids[0] ?? '')));
    }
  }
}

/** The longest that a call of another client takes while `work` runs. */
async function longestWait(runtime: Runtime, work: () => Promise<unknown>): Promise<number> {
  const over = new AbortController();
  const done = work().finally(() => {
    over.abort();
  });
  let longest = 0;
  while (!over.signal.aborted) {
    const start = performance.now();
    await runtime.version({});
    longest = Math.max(longest, performance.now() - start);
    await delay(beatMs);
  }
  await done;
  return longest;
}

function report([ours, theirs]: readonly Side[], rounds: number): void {
  if (ours === undefined || theirs === undefined) {
    return;
  }
  const rows = (part: 'times' | 'cpu' | 'waits'): Row[] =>
    Object.keys(calls).map((name) => ({
      name,
      ours: ours[part].get(name) ?? [],
      theirs: theirs[part].get(name) ?? [],
    }));
  stdout.write('\nlatency');
  printTable(rows('times'), rounds);
  stdout.write('\nCPU of all its processes');
  printTable(rows('cpu'), rounds);
  stdout.write('\nthe longest that a Version takes meanwhile');
  printTable(rows('waits'), rounds);
}

function push(map: Map<string, number[]>, name: string, value: number): void {
  const list = map.get(name) ?? [];
  list.push(value);
  map.set(name, list);
}

function ourProcesses(stack: Stack): ReadonlyMap<string, readonly number[]> {
  const programs = [
    'cri-gateway',
    'nats-server',
    'sandbox-service',
    'image-service',
    'stream-server',
  ] as const;
  const found = new Map(programs.map((program) => [program as string, pidsOf(stack, program)]));
  const known = new Set([...found.values()].flat());
  const others = processesOf(stack.dir).filter(
    ({ pid, words }) => !known.has(pid) && words[0]?.includes('node'),
  );
  found.set(
    'supervisor',
    others.map(({ pid }) => pid),
  );
  found.set(
    'conmon',
    processesOf(stack.dir)
      .filter(({ words }) => words[0]?.endsWith('conmon'))
      .map(({ pid }) => pid),
  );
  return found;
}

function theirProcesses(pid: number, socket: string): ReadonlyMap<string, readonly number[]> {
  const shims = processesOf(socket).filter(({ words }) => words[0]?.includes('containerd-shim'));
  return new Map([
    ['containerd', [pid]],
    ['shims', shims.map((shim) => shim.pid)],
  ]);
}

function processesOf(text: string): { pid: number; words: string[] }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), words: read(`/proc/${name}/cmdline`).split('\0') }))
    .filter(({ words }) => words.some((word) => word.includes(text)));
}

/** What all threads of the processes have run, to the nanosecond (sched-stats.rst of the kernel). */
function cpuMs(pids: readonly number[]): number {
  let nanos = 0;
  for (const pid of pids) {
    for (const task of tasksOf(pid)) {
      nanos += Number(read(`/proc/${pid}/task/${task}/schedstat`).split(' ')[0] ?? 0);
    }
  }
  return nanos / 1e6;
}

/** The same with what ended threads have run, in steps of 10 ms (proc_pid_stat(5)). */
function tickMs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const fields = read(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ') ?? [];
    return sum + 10 * (Number(fields[11] ?? 0) + Number(fields[12] ?? 0));
  }, 0);
}

function tasksOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function residentMb(pids: readonly number[]): number {
  const kb = (pid: number) =>
    Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0);
  return pids.reduce((sum, pid) => sum + kb(pid), 0) / 1024;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
