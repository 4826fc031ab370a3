import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { ImageService, RuntimeService } from '@gantry/proto';
import { hostOf, leaks } from './harness/host.ts';
import {
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { conmonsOf, pidsOf } from './harness/services.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { commandWires, openAttach, openExec } from './harness/stream-client.ts';
import { until } from './harness/until.ts';

// What a client may send below the level of requests, and what it may leave behind.

let stack: Stack;
let pod: RunningPod;
before(async () => {
  stack = await startStack();
  pod = await runPod(stack, podConfig(stack, 'streams'));
});
after(async () => {
  await removePod(stack, pod.podSandboxId);
  await stack[Symbol.asyncDispose]();
});

/** Sends bytes to a method and gives the status of the answer, as gRPC numbers them. */
function send(session: ClientHttp2Session, path: string, body: Uint8Array): Promise<number> {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const take = (headers: Readonly<Record<string, unknown>>): void => {
    if (headers['grpc-status'] !== undefined) {
      resolve(Number(headers['grpc-status']));
    }
  };
  stream.on('response', take).on('trailers', take).on('error', reject);
  stream.on('close', () => reject(new Error(`${path}: no status`)));
  stream.resume();
  stream.end(body);
  return promise;
}

function framed(message: Uint8Array, length = message.length, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}

async function openSession(): Promise<ClientHttp2Session & AsyncDisposable> {
  const session = connectHttp2('http://localhost', {
    createConnection: () => connect(stack.socket),
  });
  return Object.assign(session, {
    [Symbol.asyncDispose]: () => new Promise<void>((done) => session.close(done)),
  });
}

const programs = ['cri-gateway', 'image-service', 'sandbox-service', 'stream-server'] as const;
const services = (): readonly number[] => programs.flatMap((program) => pidsOf(stack, program));

const invalidArgument = 3;
const resourceExhausted = 8;
const unimplemented = 12;
const internal = 13;

test('bytes that are no message are refused by every method, and no service ends', async () => {
  const running = services();
  const host = await hostOf(stack);
  await using session = await openSession();
  // A number that never ends, and a length beyond the end.
  const nonsense = [
    [0xff, 0xff, 0xff],
    [0x0a, 0x7f, 0x01],
  ];
  const wrong: string[] = [];
  for (const service of [RuntimeService, ImageService]) {
    for (const { name } of service.methods) {
      for (const bytes of nonsense) {
        const path = `/${service.typeName}/${name}`;
        const status = await send(session, path, framed(Buffer.from(bytes)));
        if (![invalidArgument, unimplemented].includes(status)) {
          wrong.push(`${path} ${bytes.join(' ')}: ${status}`);
        }
      }
    }
  }
  assert.deepEqual(wrong, []);
  assert.deepEqual(services(), running);
  assert.deepEqual(leaks(host, await hostOf(stack)), []);
});

test('methods that are not there, and frames that are none, are refused', async () => {
  await using session = await openSession();
  for (const path of ['/runtime.v1.RuntimeService/Nope', '/nope.Nope/Nope', '/', '/a/b/c/d']) {
    assert.equal(await send(session, path, framed(Buffer.alloc(0))), unimplemented, path);
  }
  const version = '/runtime.v1.RuntimeService/Version';
  // Compressed, though nobody said how; cut short; two messages where one is wanted.
  assert.equal(await send(session, version, framed(Buffer.from([1]), 1, 1)), internal);
  for (const body of [framed(Buffer.from([1]), 9), Buffer.alloc(3), Buffer.alloc(0)]) {
    const status = await send(session, version, body);
    assert.ok([invalidArgument, internal, unimplemented].includes(status), String(status));
  }
  assert.equal(
    await send(session, version, framed(Buffer.alloc(0), 0xffff_ffff)),
    resourceExhausted,
  );
  assert.equal(await send(session, version, framed(Buffer.alloc(0))), 0);
});

/** Open files of stream-server and of what holds the containers. */
async function openFiles(): Promise<number> {
  const pids = [...pidsOf(stack, 'stream-server'), ...conmonsOf(stack)];
  const counts = await Promise.all(
    pids.map(async (pid) => (await readdir(`/proc/${pid}/fd`)).length),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

const [wire] = commandWires;
/** One file left each time would show; a service opens a few of its own meanwhile. */
const rounds = 30;

test('clients that attach and vanish leave nothing open', async () => {
  assert.ok(wire);
  const config = shellContainer('attached', 'while read a; do echo "$a"; done', { stdin: true });
  const containerId = await startContainer(stack, pod, config);
  const visit = async (): Promise<void> => {
    const client = await openAttach(stack, wire, { containerId, stdin: true });
    await client[Symbol.asyncDispose]();
  };
  await visit();
  const before = await openFiles();
  for (let round = 0; round < rounds; round += 1) {
    await visit();
  }
  await until('what was open is closed', openFiles, (now) => now <= before + 2);
});

test('commands with a terminal that cannot be started leave no process and nothing open', async () => {
  assert.ok(wire);
  const config = shellContainer('failing', 'exec sleep 1000');
  const containerId = await startContainer(stack, pod, config);
  const fail = async (): Promise<void> => {
    const cmd = ['/no/such/command'];
    await using client = await openExec(stack, wire, { containerId, cmd, tty: true, stdin: true });
    client.stdout?.resume();
    assert.notDeepEqual(await client.status, { success: true });
  };
  await fail();
  const host = await hostOf(stack);
  const before = await openFiles();
  for (let round = 0; round < rounds; round += 1) {
    await fail();
  }
  await until('what was open is closed', openFiles, (now) => now <= before + 2);
  assert.deepEqual(leaks(host, await hostOf(stack)), []);
});
