import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { stdout } from 'node:process';
import { type StartedProcess, startProcess } from '@gantry/host';
import { RuntimeService } from '@gantry/proto';
import { dialPortForward, dialRemoteCommand } from '@gantry/remotecommand';
import { dial, type RpcClient } from '@gantry/rpc';
import { busyboxImage, pidsOf, runDir, startStack } from '@gantry/tests-e2e';
import { startContainerd } from './containerd.ts';
import { printTable } from './table.ts';

const outMegabytes = 1000;
const forwardedMegabytes = 200;
const million = 1_000_000;
const port = 7000;

/** In the network namespace of the pod: sends as many bytes as the first line asks for. */
const server = `
const piece = Buffer.alloc(65536);
require('node:net').createServer((socket) => socket.once('data', async (line) => {
  for (let left = Number(line); left > 0; left -= piece.length) {
    if (!socket.write(left < piece.length ? piece.subarray(0, left) : piece)) {
      await new Promise((go) => socket.once('drain', go));
    }
  }
  socket.end();
})).listen(${port}, '127.0.0.1', 511, () => console.log('listening'));`;

interface Side {
  readonly name: string;
  readonly runtime: RpcClient<typeof RuntimeService>;
  readonly samples: Map<string, number[]>;
  readonly podSandboxId: string;
  readonly containerId: string;
  readonly helper: StartedProcess;
}

/** Measures streams of both runtimes, in turns, with the same client over SPDY v4. */
export async function compareStreams(rounds: number): Promise<void> {
  const dir = join(runDir(), 'peer');
  await mkdir(dir);
  await using stack = await startStack();
  await using containerd = await startContainerd(dir, {
    pause: 'localhost/gantry/pause:1',
    busybox: busyboxImage,
  });
  const connections = [dial(stack.socket), dial(containerd.socket)] as const;
  const sides: Side[] = [];
  try {
    for (const [i, name] of (['gantry', 'containerd'] as const).entries()) {
      const connection = connections[i];
      if (connection !== undefined) {
        sides.push(await startSide(name, connection.client(RuntimeService)));
      }
    }
    for (let round = -1; round < rounds; round++) {
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
        await measure(round < 0 ? { ...side, samples: new Map() } : side);
      }
    }
    const [pid = 0] = pidsOf(stack, 'stream-server');
    stdout.write(
      `\nstream-server ${residentMegabytes(pid)} MB, containerd ${residentMegabytes(containerd.pid)} MB\n`,
    );
  } finally {
    for (const { runtime, podSandboxId, helper } of sides) {
      helper.kill();
      await runtime.stopPodSandbox({ podSandboxId });
      await runtime.removePodSandbox({ podSandboxId });
    }
    for (const connection of connections) {
      connection.close();
    }
  }
  const [ours, theirs] = sides;
  if (ours !== undefined && theirs !== undefined) {
    const rows = [...ours.samples].map(([name, times]) => ({
      name,
      ours: times,
      theirs: theirs.samples.get(name) ?? [],
      goal: 1,
    }));
    printTable(rows, rounds);
  }
}

async function startSide(name: string, runtime: Side['runtime']): Promise<Side> {
  const config = {
    metadata: { name: 'streams', namespace: 'bench', uid: randomUUID(), attempt: 0 },
    logDirectory: join(runDir(), 'logs', name),
    linux: { cgroupParent: `/${runDir().split('/').at(-1)}/bench` },
  };
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    sandboxConfig: config,
    config: {
      metadata: { name: 'c', attempt: 0 },
      image: { image: busyboxImage },
      command: ['sleep', '100000'],
      logPath: 'c.log',
      linux: {},
    },
  });
  await runtime.startContainer({ containerId });
  const { info } = await runtime.containerStatus({ containerId, verbose: true });
  const { pid } = JSON.parse(info['info'] ?? '{}') as { pid: number };
  const helper = startProcess(
    'nsenter',
    [`--net=/proc/${pid}/ns/net`, process.execPath, '-e', server],
    { stdio: ['null', 'output', 2] },
  );
  await once(helper.output(1), 'data');
  return { name, runtime, samples: new Map(), podSandboxId, containerId, helper };
}

async function measure(side: Side): Promise<void> {
  const timed = async (row: string, work: () => Promise<void>): Promise<void> => {
    const start = performance.now();
    await work();
    side.samples.set(row, [...(side.samples.get(row) ?? []), performance.now() - start]);
  };
  for (let i = 0; i < 3; i++) {
    await timed('exec echo to its end', () => exec(side, ['echo', 'x'], 2));
  }
  const bytes = outMegabytes * million;
  await timed(`exec, ${outMegabytes} MB out`, () =>
    exec(side, ['dd', 'if=/dev/zero', 'bs=1000000', `count=${outMegabytes}`], bytes),
  );
  for (const connections of [1, 50]) {
    await timed(`port-forward, ${forwardedMegabytes} MB by ${connections}`, () =>
      forward(side, connections),
    );
  }
}

async function exec({ runtime, containerId }: Side, cmd: string[], bytes: number): Promise<void> {
  const streams = { stdout: true, stderr: false, stdin: false, tty: false };
  const { url } = await runtime.exec({ containerId, cmd, ...streams });
  await using client = await dialRemoteCommand(url, {
    ...{ transport: 'spdy', protocols: ['v4.channel.k8s.io'] },
    ...streams,
  });
  let seen = 0;
  client.stdout?.on('data', (chunk: Buffer) => {
    seen += chunk.length;
  });
  const status = await client.status;
  if (!('success' in status) || seen !== bytes) {
    throw new Error(`${cmd.join(' ')}: ${seen} bytes, ${JSON.stringify(status)}`);
  }
}

async function forward({ runtime, podSandboxId }: Side, connections: number): Promise<void> {
  const { url } = await runtime.portForward({ podSandboxId, port: [port] });
  await using client = await dialPortForward(url, { transport: 'spdy' });
  const each = (forwardedMegabytes * million) / connections;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      const connection = await client.open(port);
      connection.write(`${each}\n`);
      let seen = 0;
      connection.on('data', (chunk: Buffer) => {
        seen += chunk.length;
      });
      await once(connection, 'end');
      connection.end();
      if (seen !== each) {
        throw new Error(`port-forward: ${seen} of ${each} bytes`);
      }
    }),
  );
}

/** The most that a process has had in memory. */
function residentMegabytes(pid: number): number {
  const [, kilobytes] =
    /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Math.round(Number(kilobytes) / 1000);
}
