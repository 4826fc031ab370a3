import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { type StartedProcess, startProcess } from '@gantry/host';
import { NamespaceMode } from '@gantry/proto';
import { dialPortForward, type PortForwardClient } from '@gantry/remotecommand';
import { hostOf, leaks } from './harness/host.ts';
import {
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { pidsOf } from './harness/services.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

let stack: Stack;
let pod: RunningPod;

/** 8080: a page; 8081: the same, by IPv6 only. */
const pages = `
mkdir -p /tmp/www; echo page > /tmp/www/index.html
httpd -p 8080 -h /tmp/www
exec httpd -f -p '[::1]:8081' -h /tmp/www`;

/** 7000: an echo; 7001: the digest of all that was sent. Run in the network namespace of the pod, for busybox has no such servers. */
const servers = `
const { createServer } = require('node:net');
const { createHash } = require('node:crypto');
createServer((socket) => socket.pipe(socket)).listen(7000, '127.0.0.1', 511);
createServer({ allowHalfOpen: true }, (socket) => {
  const hash = createHash('sha256');
  socket.on('data', (chunk) => hash.update(chunk)).on('end', () => socket.end(hash.digest('hex')));
}).listen(7001, '127.0.0.1', () => console.log('listening'));`;
let helper: StartedProcess;

async function listens(containerId: string, ...ports: string[]): Promise<void> {
  await until(
    'the servers listen',
    async () => {
      const { stdout } = await stack.runtime.execSync({ containerId, cmd: ['netstat', '-ltn'] });
      return Buffer.from(stdout).toString();
    },
    (list) => ports.every((port) => list.includes(`:${port} `)),
  );
}

before(async () => {
  stack = await startStack();
  pod = await runPod(stack, podConfig(stack, 'forward'));
  const containerId = await startContainer(stack, pod, shellContainer('servers', pages));
  helper = startProcess(
    'nsenter',
    [`--net=${join(stack.stateDir, 'netns', pod.podSandboxId)}`, process.execPath, '-e', servers],
    { stdio: ['null', 'output', 2] },
  );
  await once(helper.output(1), 'data');
  await listens(containerId, '8080', '8081');
});
after(async () => {
  helper.kill();
  await helper.exited;
  await removePod(stack, pod.podSandboxId);
  await stack[Symbol.asyncDispose]();
});

const wires = [
  { name: 'SPDY', transport: 'spdy', protocols: ['portforward.k8s.io'], many: true },
  {
    name: 'SPDY in WebSocket',
    transport: 'websocket',
    protocols: ['SPDY/3.1+portforward.k8s.io'],
    many: true,
  },
  { name: 'WebSocket v4', transport: 'websocket', protocols: ['v4.channel.k8s.io'], many: false },
  {
    name: 'WebSocket v4 base64',
    transport: 'websocket',
    protocols: ['v4.base64.channel.k8s.io'],
    many: false,
  },
  { name: 'WebSocket unnamed', transport: 'websocket', protocols: [''], many: false },
] as const;
type Wire = (typeof wires)[number];

async function forward(
  wire: Wire,
  podSandboxId: string,
  ...ports: number[]
): Promise<PortForwardClient> {
  const { url } = await stack.runtime.portForward({ podSandboxId, port: ports });
  return dialPortForward(url, { transport: wire.transport, protocols: wire.protocols, ports });
}

for (const wire of wires) {
  test(`${wire.name}: a page by IPv4, and one that listens on IPv6 only`, async () => {
    for (const port of [8080, 8081]) {
      await using client = await forward(wire, pod.podSandboxId, port);
      const connection = await client.open(port);
      connection.write('GET / HTTP/1.0\r\n\r\n');
      assert.match(await text(connection), /200 OK.*page\n$/s);
    }
  });

  test(`${wire.name}: a port on which nobody listens is told`, async () => {
    await using client = await forward(wire, pod.podSandboxId, 9);
    const connection = await client.open(9);
    const [error] = (await once(connection, 'error')) as [Error];
    assert.match(
      error.message,
      new RegExp(`error forwarding port 9 to pod ${pod.podSandboxId}.*ECONNREFUSED.*ECONNREFUSED`),
    );
  });
}

for (const wire of wires.filter(({ many }) => many)) {
  test(`${wire.name}: the end of what is sent is told, and the answer still comes`, async () => {
    await using client = await forward(wire, pod.podSandboxId);
    const data = Buffer.alloc(5_000_000, 'forward');
    const connection = await client.open(7001);
    connection.end(data);
    const digest = createHash('sha256').update(data).digest('hex');
    assert.equal(await text(connection), digest);
  });

  test(`${wire.name}: 100 connections at once each get their own bytes back, without a process each`, async () => {
    await using client = await forward(wire, pod.podSandboxId);
    const [server] = pidsOf(stack, 'stream-server');
    const connections = await Promise.all(Array.from({ length: 100 }, () => client.open(7000)));
    const said = (i: number): string => `${i} `.repeat(10_000);
    const echoes = connections.map((connection, i) => {
      connection.end(said(i));
      return text(connection);
    });
    assert.deepEqual(childrenOf(Number(server)), []);
    const echoed = await Promise.all(echoes);
    assert.deepEqual(
      echoed.map((one, i) => [i, one === said(i)]),
      echoed.map((_, i) => [i, true]),
    );
  });

  test(`${wire.name}: an open connection ends with its pod, and the next is told; nothing stays`, async () => {
    const before = await hostOf(stack);
    const mortal = await runPod(stack, podConfig(stack, 'mortal'));
    const containerId = await startContainer(
      stack,
      mortal,
      shellContainer('echo', 'exec nc -ll -p 7000 -e cat'),
    );
    await listens(containerId, '7000');
    await using client = await forward(wire, mortal.podSandboxId);
    const connection = await client.open(7000);
    connection.write('x');
    await once(connection, 'data');
    const ended = Promise.race([once(connection, 'end'), once(connection, 'error')]);
    await removePod(stack, mortal.podSandboxId);
    await ended;
    connection.destroy();
    if (!client.gone.aborted) {
      const late = await client.open(7000);
      const [error] = (await once(late, 'error')) as [Error];
      assert.match(error.message, /error forwarding port 7000 .*: the pod was stopped$/);
    }
    assert.deepEqual(leaks(before, await hostOf(stack)), []);
  });
}

test('a pod on the network of the host is reached there', async (t) => {
  const server = createServer((socket) => socket.end('from the host')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const host = await runPod(
    stack,
    podConfig(stack, 'host', {
      linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } },
    }),
  );
  t.after(() => removePod(stack, host.podSandboxId));
  await using client = await forward(wires[0], host.podSandboxId);
  assert.equal(await text(await client.open(port)), 'from the host');
});

test('a pod that is not there, or is stopped, has no URL', async () => {
  await assert.rejects(stack.runtime.portForward({ podSandboxId: 'f'.repeat(64) }), {
    kind: 'not-found',
  });
  const stopped = await runPod(stack, podConfig(stack, 'stopped'));
  await stack.runtime.stopPodSandbox({ podSandboxId: stopped.podSandboxId });
  await assert.rejects(stack.runtime.portForward({ podSandboxId: stopped.podSandboxId }), {
    kind: 'failed-precondition',
  });
  await stack.runtime.removePodSandbox({ podSandboxId: stopped.podSandboxId });
});

/** Processes that any thread of `pid` has started. */
function childrenOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean),
  );
}
