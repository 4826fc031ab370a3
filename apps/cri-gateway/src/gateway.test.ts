import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { busHandlers } from '@gantry/bus';
import { RuntimeError } from '@gantry/errors';
import {
  ContainerEventType,
  Diagnostics,
  ImageImport,
  ImageService,
  RuntimeService,
} from '@gantry/proto';
import { startService } from '@gantry/service-kit';
import { readTraces, startTelemetry } from '@gantry/telemetry';
import { service } from './service.ts';
import { startTestGateway } from './testing.ts';

test('each method reaches the service that the table names', async (t) => {
  const { run, runtime, images, connection } = await startTestGateway(t);
  await run(
    'sandbox',
    new Map([
      ...busHandlers(RuntimeService, {
        version: () => Promise.resolve({ runtimeName: 'from sandbox' }),
      }),
      ...busHandlers(Diagnostics, { explain: ({ id }) => Promise.resolve({ json: id }) }),
    ]),
  );
  await run(
    'image',
    new Map([
      ...busHandlers(ImageService, {
        pullImage: ({ image }) => Promise.resolve({ imageRef: `from image: ${image?.image}` }),
      }),
      ...busHandlers(ImageImport, {
        importImage: ({ path }) => Promise.resolve({ images: [{ id: path, names: [] }] }),
      }),
    ]),
  );
  await run(
    'stream',
    busHandlers(RuntimeService, { execSync: () => Promise.resolve({ exitCode: 7 }) }),
  );

  assert.equal((await runtime.version({})).runtimeName, 'from sandbox');
  assert.equal((await runtime.execSync({})).exitCode, 7);
  assert.equal((await images.pullImage({ image: { image: 'b' } })).imageRef, 'from image: b');
  const imported = await connection.client(ImageImport).importImage({ path: '/x.tar' });
  assert.equal(imported.images[0]?.id, '/x.tar');
  assert.equal((await connection.client(Diagnostics).explain({ id: 'p' })).json, 'p');
});

test('20 MB pass both ways', async (t) => {
  const { run, runtime } = await startTestGateway(t);
  await run(
    'stream',
    busHandlers(RuntimeService, {
      execSync: ({ cmd }) => Promise.resolve({ stdout: new TextEncoder().encode(cmd[0]) }),
    }),
  );
  const text = 'gantry\n'.repeat(3_000_000);
  const { stdout } = await runtime.execSync({ cmd: [text] });
  assert.equal(new TextDecoder().decode(stdout) === text, true);
});

test('a server stream passes item by item and ends the handler when the client leaves', async (t) => {
  const { run, runtime } = await startTestGateway(t);
  const ended = Promise.withResolvers<void>();
  await run(
    'sandbox',
    busHandlers(RuntimeService, {
      async *getContainerEvents(_request, { signal }) {
        try {
          yield {
            containerId: 'a',
            containerEventType: ContainerEventType.CONTAINER_CREATED_EVENT,
          };
          yield {
            containerId: 'b',
            containerEventType: ContainerEventType.CONTAINER_STARTED_EVENT,
          };
          await once(signal, 'abort');
        } finally {
          ended.resolve();
        }
      },
    }),
  );
  const seen: string[] = [];
  for await (const { containerId } of runtime.getContainerEvents({})) {
    seen.push(containerId);
    if (seen.length === 2) {
      break;
    }
  }
  assert.deepEqual(seen, ['a', 'b']);
  await ended.promise;
});

test('cancel and deadline reach the handler', async (t) => {
  const { run, images } = await startTestGateway(t);
  let begun = Promise.withResolvers<number | undefined>();
  let aborted = Promise.withResolvers<string>();
  await run(
    'image',
    busHandlers(ImageService, {
      pullImage: async (_request, { signal, deadlineMs }) => {
        begun.resolve(deadlineMs);
        await once(signal, 'abort');
        aborted.resolve((signal.reason as Error).name);
        return {};
      },
    }),
  );
  const controller = new AbortController();
  const canceled = images.pullImage({}, { signal: controller.signal });
  assert.equal(await begun.promise, undefined);
  controller.abort();
  await assert.rejects(canceled, { kind: 'canceled' });
  assert.equal(await aborted.promise, 'AbortError');

  begun = Promise.withResolvers();
  aborted = Promise.withResolvers();
  const deadlineMs = Date.now() + 2000;
  const late = assert.rejects(images.pullImage({}, { deadlineMs }), { kind: 'deadline-exceeded' });
  // What is left of it travels, so that the handler's is later by the time of the way.
  assert.ok(Math.abs(((await begun.promise) ?? 0) - deadlineMs) < 10_000);
  await late;
  // The client's own cancel may come a moment before the handler's clock strikes.
  assert.match(await aborted.promise, /^(Timeout|Abort)Error$/);
});

test('an error keeps its kind and message', async (t) => {
  const { run, runtime } = await startTestGateway(t);
  await run(
    'sandbox',
    busHandlers(RuntimeService, {
      containerStatus: () =>
        Promise.reject(new RuntimeError('not-found', 'container "x": not found')),
      async *getContainerEvents() {
        await sleep(1);
        yield {};
        throw new RuntimeError('resource-exhausted', 'too many watchers');
      },
    }),
  );
  await assert.rejects(runtime.containerStatus({}), {
    kind: 'not-found',
    message: 'container "x": not found',
  });
  const stream = runtime.getContainerEvents({})[Symbol.asyncIterator]();
  await stream.next();
  await assert.rejects(stream.next(), {
    kind: 'resource-exhausted',
    message: 'too many watchers',
  });
});

test('a method that its service does not offer is unimplemented and named', async (t) => {
  const { run, runtime } = await startTestGateway(t);
  await run('sandbox', new Map());
  await assert.rejects(runtime.checkpointContainer({}), {
    kind: 'unimplemented',
    message: 'runtime.v1.RuntimeService/CheckpointContainer: sandbox-service does not offer it',
  });
  await assert.rejects(runtime.getContainerEvents({})[Symbol.asyncIterator]().next(), {
    kind: 'unimplemented',
    message: /GetContainerEvents/,
  });
});

test('a service that does not run is unavailable, with its name', async (t) => {
  const { runtime } = await startTestGateway(t);
  await assert.rejects(runtime.execSync({}), {
    kind: 'unavailable',
    message:
      'no instance of stream-server answers runtime.v1.RuntimeService/ExecSync: is it running? (gantry doctor)',
  });
});

test('a service that is killed in mid-request is unavailable long before any deadline', async (t) => {
  const { spawn, runtime } = await startTestGateway(t);
  const child = await spawn(
    'sandbox',
    `new Map([['runtime.v1.RuntimeService/RunPodSandbox', { kind: 'unary', handle: () => {
      process.stdout.write('begun\\n');
      return new Promise(() => undefined);
    } }]])`,
  );
  const call = assert.rejects(runtime.runPodSandbox({}), {
    kind: 'unavailable',
    message: /RunPodSandbox/,
  });
  await child.nextLine();
  await child.kill();
  await call;
});

test('without NATS calls are unavailable, and work again when it is back', async (t) => {
  const { run, runtime, nats, adminUrl } = await startTestGateway(t);
  const begun = Promise.withResolvers<void>();
  await run(
    'sandbox',
    busHandlers(RuntimeService, {
      version: () => Promise.resolve({ runtimeName: 'gantry' }),
      runPodSandbox: () => {
        begun.resolve();
        return new Promise(() => undefined);
      },
    }),
  );
  const inFlight = assert.rejects(runtime.runPodSandbox({}), { kind: 'unavailable' });
  await begun.promise;
  await nats.kill();
  await inFlight;
  await assert.rejects(runtime.version({}), {
    kind: 'unavailable',
    message: /Version: the gateway has no connection to NATS: is nats-server running/,
  });
  const ready = await fetch(`${adminUrl}/readyz`);
  assert.equal(ready.status, 503);
  assert.match(await ready.text(), /no connection to NATS/);
  assert.match(await (await fetch(`${adminUrl}/metrics`)).text(), /instance="g"/);

  await nats.start();
  for (;;) {
    const answer = await runtime.version({}).catch(() => undefined);
    if (answer !== undefined) {
      assert.equal(answer.runtimeName, 'gantry');
      break;
    }
    await sleep(50);
  }
});

test('the admin page tells of every instance', async (t) => {
  const { run, runtime, adminUrl } = await startTestGateway(t);
  const before = await fetch(`${adminUrl}/readyz`);
  assert.equal(before.status, 503);
  assert.match(await before.text(), /^not ready\nimage: no instance answers\nsandbox: no/);
  assert.equal((await fetch(`${adminUrl}/healthz`)).status, 200);

  await run('image', new Map());
  await run('stream', new Map());
  const handlers = busHandlers(RuntimeService, {
    version: () => Promise.resolve({}),
    containerStatus: () => Promise.reject(new RuntimeError('not-found', 'no')),
  });
  await run('sandbox', handlers);
  await run('sandbox', handlers);
  const after = await fetch(`${adminUrl}/readyz`);
  assert.equal(after.status, 200, await after.clone().text());
  assert.equal((await after.text()).match(/^sandbox \w+ \(pid \d+\): ok$/gm)?.length, 2);

  await runtime.version({});
  await assert.rejects(runtime.containerStatus({}));
  const response = await fetch(`${adminUrl}/metrics`);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  const page = await response.text();
  const value = (family: string, operation: string): number => {
    const line = page
      .split('\n')
      .find((l) => l.startsWith(`${family}{`) && l.includes(`operation_type="${operation}"`));
    assert.match(line ?? '', /service="gateway",instance="g"/);
    return Number(line?.split(' ').at(-1));
  };
  assert.equal(value('container_runtime_cri_operations_total', 'Version'), 1);
  assert.equal(value('container_runtime_cri_operations_errors_total', 'ContainerStatus'), 1);
  assert.equal(value('container_runtime_cri_operations_errors_total', 'Version'), 0);
  assert.equal(value('container_runtime_cri_operations_latency_seconds_count', 'Version'), 1);
  assert.match(page, /^gantry_service_instances\{target="sandbox",.*\} 2$/m);
  assert.match(page, /^process_resident_memory_bytes\{service="image",instance="\w+"\} \d+$/m);
  assert.equal(page.match(/^# TYPE process_resident_memory_bytes gauge$/gm)?.length, 1);
});

test('a request is one trace, a child of the span of its caller', async (t) => {
  const { run, runtime, config } = await startTestGateway(t);
  await using telemetry = await startTelemetry({ service: 'gateway', instance: 'g', config });
  await run('sandbox', busHandlers(RuntimeService, { stopContainer: () => Promise.resolve({}) }));
  const traceId = 'ab'.repeat(16);
  await runtime.stopContainer(
    {},
    { metadata: { traceparent: `00-${traceId}-${'cd'.repeat(8)}-01` } },
  );
  await telemetry.flush();
  const [trace] = readTraces({ rootDir: config.root_dir, match: traceId });
  assert.equal(trace?.traceId, traceId);
  const [root, ...others] = trace.roots;
  assert.equal(others.length, 0);
  assert.equal(root?.name, 'runtime.v1.RuntimeService/StopContainer');
  assert.equal(root.service, 'gateway');
  assert.equal(root.attributes['rpc.method'], 'StopContainer');
  const [client] = root.children;
  assert.equal(client?.children[0]?.service, 'sandbox');
});

test('a socket or a port that is taken is one clear sentence', async (t) => {
  const { config, adminUrl } = await startTestGateway(t);
  await assert.rejects(startService(service, { config }), {
    kind: 'failed-precondition',
    message: `listen on ${config.grpc.socket}: already served by another process`,
  });
  const port = Number(new URL(adminUrl).port);
  const other = { ...config, admin: { ...config.admin, port } };
  await assert.rejects(startService(service, { config: other }), {
    kind: 'failed-precondition',
    message: `listen on 127.0.0.1:${port} for /metrics: another process has this port: set [admin] port in config.toml`,
  });
});
