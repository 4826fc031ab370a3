import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { create, toJson } from '@bufbuild/protobuf';
import {
  ContainerAdjustmentSchema,
  Event,
  Plugin,
  PodSandboxSchema,
  Runtime,
} from '@gantry/proto/nri';
import { callMethod, serviceHandlers, TtrpcClient, TtrpcServer } from '@gantry/ttrpc';
import { connections, definePlugin, Mux, maskOf, type RunOptions, runPlugin } from '../index.ts';

/** A runtime on a socket, as far as plugins see one. */
async function startRuntime(t: TestContext, refuse = false) {
  const dir = await mkdtemp(join(tmpdir(), 'nri-kit-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const path = join(dir, 'nri.sock');
  const arrivals: { name: string; client: TtrpcClient; socket: Socket }[] = [];
  let wake = Promise.withResolvers<void>();
  const open = new Set<Socket>();
  const onConnection = (socket: Socket): void => {
    open.add(socket);
    socket.on('error', () => undefined);
    const mux = new Mux(socket);
    const client = new TtrpcClient(mux.open(connections.plugin));
    new TtrpcServer(
      mux.open(connections.runtime),
      new Map([
        serviceHandlers(Runtime, {
          registerPlugin: ({ pluginIdx, pluginName }) => {
            if (refuse) {
              return Promise.reject(new Error('go away'));
            }
            arrivals.push({ name: `${pluginIdx}-${pluginName}`, client, socket });
            wake.resolve();
            wake = Promise.withResolvers();
            return Promise.resolve({});
          },
          updateContainers: ({ update }) => Promise.resolve({ failed: update }),
        }),
      ]),
    );
  };
  const server: Server = createServer(onConnection).listen(path);
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of open) {
      socket.destroy();
    }
  });
  return {
    path,
    async arrival(number: number) {
      for (;;) {
        const found = arrivals[number];
        if (found !== undefined) {
          return found;
        }
        await wake.promise;
      }
    },
  };
}

function run(t: TestContext, path: string, definition: Parameters<typeof definePlugin>[0]) {
  const options: RunOptions = { socket: path, environment: {} };
  const running = runPlugin(definePlugin(definition), options);
  t.after(() => running[Symbol.asyncDispose]());
  return running;
}

test('a plugin says who it is and what it wants to hear', async (t) => {
  const runtime = await startRuntime(t);
  run(t, runtime.path, {
    name: 'kit',
    index: 7,
    createContainer: () => undefined,
    runPodSandbox: () => undefined,
  });
  const { name, client } = await runtime.arrival(0);
  assert.equal(name, '07-kit');
  const { events } = await callMethod(client, Plugin.method.configure, { config: 'x' });
  assert.equal(events, maskOf([Event.RUN_POD_SANDBOX, Event.CREATE_CONTAINER]));
});

test('a definition that handles nothing, or has a wrong name or index, is refused', () => {
  assert.throws(() => definePlugin({ name: 'x', index: 1 }), { message: /handles no event/ });
  const handler = { runPodSandbox: () => undefined };
  assert.throws(() => definePlugin({ name: 'a b', index: 1, ...handler }));
  assert.throws(() => definePlugin({ name: 'x', index: 100, ...handler }));
  assert.throws(() => definePlugin({ name: 'x', index: -1, ...handler }));
});

test('adjustments are what the protocol calls them', async (t) => {
  const runtime = await startRuntime(t);
  run(t, runtime.path, {
    name: 'kit',
    index: 1,
    createContainer: () => ({
      annotations: { set: '1', gone: null },
      env: { SET: '1', GONE: null },
      mounts: { '/in': { source: '/out' }, '/gone': null },
      devices: [{ path: '/dev/x', type: 'c', major: 1, minor: 2, mode: 0o600 }],
      removeDevices: ['/dev/y'],
      args: ['run'],
      rlimits: { RLIMIT_CORE: { soft: 0, hard: 1n } },
      cdiDevices: ['a/b=c'],
      hooks: { poststart: [{ path: '/h', timeoutSeconds: 2 }] },
      limits: { cpus: '0-1', mems: '0', pids: 9, hugepages: { '2MB': 4 }, memoryBytes: 5 },
      oomScoreAdj: -3,
      sysctl: { 'a.b': '1', 'c.d': null },
      raw: { linux: { cgroupsPath: '/x' } },
      updates: [{ containerId: 'o', limits: { cpuShares: 2 }, ignoreFailure: true }],
      evict: [{ containerId: 'e', reason: 'because' }],
    }),
  });
  const { client } = await runtime.arrival(0);
  const { adjust, update, evict } = await callMethod(client, Plugin.method.createContainer, {});
  assert.deepEqual(adjust && toJson(ContainerAdjustmentSchema, adjust), {
    annotations: { set: '1', '-gone': '' },
    env: [{ key: 'SET', value: '1' }, { key: '-GONE' }],
    mounts: [
      { destination: '/in', source: '/out', type: 'bind', options: ['rbind', 'ro'] },
      { destination: '-/gone' },
    ],
    args: ['', 'run'],
    rlimits: [{ type: 'RLIMIT_CORE', hard: '1' }],
    CDIDevices: [{ name: 'a/b=c' }],
    hooks: { poststart: [{ path: '/h', timeout: { value: '2' } }] },
    linux: {
      devices: [
        { path: '-/dev/y' },
        { path: '/dev/x', type: 'c', major: '1', minor: '2', fileMode: { value: 0o600 } },
      ],
      resources: {
        cpu: { cpus: '0-1', mems: '0' },
        memory: { limit: { value: '5' } },
        pids: { limit: '9' },
        hugepageLimits: [{ pageSize: '2MB', limit: '4' }],
      },
      oomScoreAdj: { value: '-3' },
      sysctl: { 'a.b': '1', '-c.d': '' },
      cgroupsPath: '/x',
    },
  });
  assert.deepEqual([update[0]?.ignoreFailure, evict[0]?.reason], [true, 'because']);
});

test('what a handler throws is told to the runtime', async (t) => {
  const runtime = await startRuntime(t);
  run(t, runtime.path, {
    name: 'kit',
    index: 1,
    runPodSandbox: () => {
      throw new Error('no room');
    },
  });
  const { client } = await runtime.arrival(0);
  await assert.rejects(callMethod(client, Plugin.method.runPodSandbox, {}), {
    code: 2,
    message: 'no room',
  });
});

test('a runtime before NRI 0.12 reaches the same handlers by StateChange', async (t) => {
  const runtime = await startRuntime(t);
  const seen: string[] = [];
  run(t, runtime.path, {
    name: 'kit',
    index: 1,
    runPodSandbox: ({ id }) => {
      seen.push(`run ${id}`);
    },
    removeContainer: (pod, { id }) => {
      seen.push(`remove ${pod.id} ${id}`);
    },
  });
  const { client } = await runtime.arrival(0);
  const pod = create(PodSandboxSchema, { id: 'p' });
  const change = (event: Event, more = {}) =>
    callMethod(client, Plugin.method.stateChange, { event, pod, ...more });
  await change(Event.RUN_POD_SANDBOX);
  await change(Event.REMOVE_CONTAINER, { container: { id: 'c' } });
  await change(Event.POST_START_CONTAINER);
  assert.deepEqual(seen, ['run p', 'remove p c']);
});

test('parts of a synchronisation are put together', async (t) => {
  const runtime = await startRuntime(t);
  const seen: string[] = [];
  run(t, runtime.path, {
    name: 'kit',
    index: 1,
    runPodSandbox: () => undefined,
    synchronize: (pods, containers) => {
      seen.push([...pods, ...containers].map(({ id }) => id).join());
      return [{ containerId: 'a', limits: { cpus: '0' } }];
    },
  });
  const { client } = await runtime.arrival(0);
  const send = (request: object) => callMethod(client, Plugin.method.synchronize, request);
  const first = await send({ pods: [{ id: 'p' }], containers: [{ id: 'a' }], more: true });
  assert.deepEqual([first.more, first.update.length, seen.length], [true, 0, 0]);
  const last = await send({ containers: [{ id: 'b' }] });
  assert.deepEqual([last.more, last.update.length], [false, 1]);
  assert.deepEqual(seen, ['p,a,b']);
});

test('a plugin that loses its runtime comes back, and can ask for updates again', async (t) => {
  const runtime = await startRuntime(t);
  const running = run(t, runtime.path, { name: 'kit', index: 1, runPodSandbox: () => undefined });
  const { socket } = await runtime.arrival(0);
  socket.destroy();
  await runtime.arrival(1);
  const failed = await running.update([{ containerId: 'x', limits: { pids: 1 } }]);
  assert.equal(failed[0]?.containerId, 'x');
  await running[Symbol.asyncDispose]();
  await running.done;
  await assert.rejects(running.update([]), { kind: 'unavailable' });
});

test('a plugin that the runtime refuses ends with its words', async (t) => {
  const runtime = await startRuntime(t, true);
  const running = run(t, runtime.path, { name: 'kit', index: 1, runPodSandbox: () => undefined });
  await assert.rejects(running.done, { message: 'go away' });
});

test('one that has no runtime says why, once for each reason', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'nri-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const socket = join(dir, 'nri.sock');
  const told: string[] = [];
  const second = Promise.withResolvers<void>();
  await using _running = runPlugin(definePlugin({ name: 'lonely', index: 1, runPodSandbox() {} }), {
    socket,
    environment: {},
    onState: (state, cause) => {
      told.push(`${state} ${/E[A-Z]+/.exec(String(cause))?.[0]}`);
      if (told.length === 1) {
        // Missing until now, and no socket from now on.
        writeFileSync(socket, '');
      } else {
        second.resolve();
      }
    },
  });
  await second.promise;
  assert.deepEqual(told, ['waiting ENOENT', 'waiting ECONNREFUSED']);
});

test('one that waits for its runtime ends when it is told to', async () => {
  const stop = new AbortController();
  const plugin = definePlugin({ name: 'kit', index: 1, runPodSandbox: () => undefined });
  const options = { socket: '/no/such/socket', environment: {}, signal: stop.signal };
  const { done } = runPlugin(plugin, options);
  stop.abort();
  await done;
});
