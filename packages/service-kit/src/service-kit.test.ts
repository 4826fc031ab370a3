import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { type Bus, connectBus, type RawHandlers } from '@gantry/bus';
// oxlint-disable-next-line eslint/no-restricted-imports -- the package's own door for tests
import { startTestNats, type TestNats } from '@gantry/bus/testing';
import { type Config, completeConfig } from '@gantry/config';
import { RuntimeError } from '@gantry/errors';
import { Counter, readTraces, type SpanTree, startTelemetry, withSpan } from '@gantry/telemetry';
import {
  gatherHealth,
  gatherMetrics,
  type ServiceContext,
  type ServiceDefinition,
  startService,
} from './index.ts';

const encoder = new TextEncoder();
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const nothing = new Uint8Array();

interface Fixture {
  readonly nats: TestNats;
  readonly config: Config;
  readonly configInput: object;
  readonly rootDir: string;
  readonly bus: Bus;
}

async function prepare(t: TestContext): Promise<Fixture> {
  const nats = await startTestNats(t);
  const rootDir = await mkdtemp(join(tmpdir(), 'service-kit-'));
  const input = {
    node_name: nats.node,
    root_dir: rootDir,
    state_dir: join(rootDir, 'run'),
    nats: { url: nats.url, credentials_dir: dirname(nats.files.credentialsFiles.image) },
    log: { level: 'error' },
  };
  const bus = await connectBus(nats.busOptions('gateway'));
  t.after(async () => {
    await bus[Symbol.asyncDispose]();
    await rm(rootDir, { recursive: true, force: true });
  });
  return { nats, config: completeConfig(input), configInput: input, rootDir, bus };
}

function definition(
  handlers: RawHandlers,
  events: string[] = [],
  seen?: (context: ServiceContext) => void,
): ServiceDefinition {
  return {
    name: 'image',
    start: (context) => {
      seen?.(context);
      return Promise.resolve({
        handlers,
        health: () => Promise.resolve(undefined),
        [Symbol.asyncDispose]: () => {
          events.push('disposed');
          return Promise.resolve();
        },
      });
    },
  };
}

test('a service that runs answers its methods, its metrics and its health', async (t) => {
  const { config, bus } = await prepare(t);
  assert.deepEqual(await gatherHealth(bus, 'image', 300), []);
  await using running = await startService(
    definition(
      new Map([['a.B/C', { kind: 'unary', handle: (body) => Promise.resolve(body) }]]),
      [],
      ({ metrics }) => {
        new Counter({ name: 'pulls_total', help: 'x', registers: [metrics] }).inc(2);
      },
    ),
    { config },
  );
  assert.equal(decode(await bus.request('image', 'a.B/C', encoder.encode('x'))), 'x');
  const [report] = await gatherHealth(bus, 'image');
  assert.deepEqual(report, { service: 'image', instance: running.instance, pid: process.pid });
  const [text] = await gatherMetrics(bus, 'image');
  assert.match(
    text ?? '',
    new RegExp(`pulls_total{service="image",instance="${running.instance}"} 2`),
  );
});

test('every instance tells of its own health', async (t) => {
  const { config, bus } = await prepare(t);
  const broken: ServiceDefinition = {
    name: 'image',
    start: () =>
      Promise.resolve({
        handlers: new Map(),
        health: () => Promise.reject(new RuntimeError('internal', 'the store is gone')),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
  };
  await using first = await startService(definition(new Map()), { config });
  await using second = await startService(broken, { config });
  const reports = await gatherHealth(bus, 'image');
  assert.deepEqual(
    new Map(reports.map((r) => [r.instance, r.problem])),
    new Map([
      [first.instance, undefined],
      [second.instance, 'the store is gone'],
    ]),
  );
});

test('a stop takes no new requests, waits for those in flight, then disposes of the service', async (t) => {
  const { config, bus } = await prepare(t);
  const events: string[] = [];
  const begun = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  let stopping: AbortSignal | undefined;
  const running = await startService(
    definition(
      new Map([
        [
          'a.B/Slow',
          {
            kind: 'unary',
            handle: async (body) => {
              begun.resolve();
              await finish.promise;
              events.push('answered');
              return body;
            },
          },
        ],
      ]),
      events,
      (context) => {
        stopping = context.signal;
      },
    ),
    { config },
  );
  const call = bus.request('image', 'a.B/Slow', nothing);
  await begun.promise;
  assert.equal(stopping?.aborted, false);
  const stopped = running[Symbol.asyncDispose]();
  assert.equal(stopping.aborted, true);
  finish.resolve();
  await call;
  await stopped;
  assert.deepEqual(events, ['answered', 'disposed']);
  await assert.rejects(bus.request('image', 'a.B/Slow', nothing), { kind: 'unavailable' });
});

test('a request that never ends does not hold the stop for ever', async (t) => {
  const { config, bus } = await prepare(t);
  const events: string[] = [];
  const begun = Promise.withResolvers<void>();
  const running = await startService(
    definition(
      new Map([
        [
          'a.B/Never',
          {
            kind: 'unary',
            handle: () => {
              begun.resolve();
              return new Promise(() => undefined);
            },
          },
        ],
      ]),
      events,
    ),
    { config, drainMs: 50 },
  );
  const call = assert.rejects(bus.request('image', 'a.B/Never', nothing), { kind: 'unavailable' });
  await begun.promise;
  await running[Symbol.asyncDispose]();
  assert.deepEqual(events, ['disposed']);
  await call;
});

test('streams end when the service stops', async (t) => {
  const { config, bus } = await prepare(t);
  const events: string[] = [];
  const running = await startService(
    definition(
      new Map([
        [
          'a.B/Events',
          {
            kind: 'stream',
            async *handle() {
              yield encoder.encode('first');
              await new Promise(() => undefined);
            },
          },
        ],
      ]),
      events,
    ),
    { config },
  );
  const stream = bus.stream('image', 'a.B/Events', nothing)[Symbol.asyncIterator]();
  assert.equal(decode((await stream.next()).value as Uint8Array), 'first');
  const stopped = running[Symbol.asyncDispose]();
  await assert.rejects(stream.next(), { kind: 'unavailable', message: 'the service is stopping' });
  await stopped;
});

test('a service that can not start leaves nothing behind', async (t) => {
  const { config, bus } = await prepare(t);
  const failing: ServiceDefinition = {
    name: 'image',
    start: () => Promise.reject(new RuntimeError('failed-precondition', 'runc is missing')),
  };
  await assert.rejects(startService(failing, { config }), { message: 'runc is missing' });
  assert.deepEqual(await gatherHealth(bus, 'image', 300), []);
});

test('a start waits for the credentials, and gives up when it is told to', async (t) => {
  const { config } = await prepare(t);
  const waiting = { ...config, nats: { ...config.nats, url: '', credentials_dir: '/nowhere' } };
  const controller = new AbortController();
  const start = startService(definition(new Map()), {
    config: waiting,
    signal: controller.signal,
  });
  controller.abort();
  await assert.rejects(start, { name: 'AbortError' });
});

test('services that share a process keep their spans, metrics and instances apart', async (t) => {
  const { config, bus, rootDir } = await prepare(t);
  const telemetry = await startTelemetry({ service: 'compact', instance: 'c', config });
  t.after(() => telemetry[Symbol.asyncDispose]());
  const work = (name: ServiceDefinition['name'], method: string): ServiceDefinition => ({
    name,
    start: () =>
      Promise.resolve({
        handlers: new Map([
          [
            method,
            {
              kind: 'unary',
              handle: (body) => withSpan(`${name} works`, {}, () => Promise.resolve(body)),
            },
          ],
          [
            `${method}s`,
            {
              kind: 'stream',
              async *handle(body) {
                yield await withSpan(`${name} streams`, {}, () => Promise.resolve(body));
              },
            },
          ],
        ]),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
  });
  await using image = await startService(work('image', 'a.B/Pull'), { config, shared: true });
  await using sandbox = await startService(work('sandbox', 'a.B/Run'), { config, shared: true });
  await bus.request('image', 'a.B/Pull', nothing);
  await bus.request('sandbox', 'a.B/Run', nothing);
  for await (const _item of bus.stream('sandbox', 'a.B/Runs', nothing)) {
    // Only its span is of interest.
  }
  await telemetry.flush();
  const owners = readTraces({ rootDir })
    .flatMap((trace) => trace.roots)
    .flatMap(withChildren)
    .filter(({ name }) => /works|streams/.test(name))
    .map(({ name, service, instance }) => `${name}: ${service} ${instance}`);
  assert.deepEqual(
    new Set(owners),
    new Set([
      `image works: image ${image.instance}`,
      `sandbox works: sandbox ${sandbox.instance}`,
      `sandbox streams: sandbox ${sandbox.instance}`,
    ]),
  );
  assert.match((await gatherMetrics(bus, 'image'))[0] ?? '', /service="image"/);
});

function withChildren(span: SpanTree): SpanTree[] {
  return [span, ...span.children.flatMap(withChildren)];
}

interface Child {
  readonly lines: Record<string, unknown>[];
  line(message: RegExp): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  readonly exit: Promise<unknown[]>;
}

async function spawnService(t: TestContext, input: object, script: string): Promise<Child> {
  const dir = await mkdtemp(join(tmpdir(), 'service-kit-'));
  const configFile = join(dir, 'config.toml');
  await mkdir(dir, { recursive: true });
  await writeFile(configFile, toToml(input));
  const main = join(dir, 'main.ts');
  await writeFile(
    main,
    `import { runService } from '${join(import.meta.dirname, 'index.ts')}';\n${script}`,
  );
  const child = spawn(process.execPath, [main, '--config', configFile], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  // Not 'exit': its last lines may still be in the pipe then.
  const exit = once(child, 'close');
  t.after(async () => {
    child.kill('SIGKILL');
    await exit;
    await rm(dir, { recursive: true, force: true });
  });
  const lines: Record<string, unknown>[] = [];
  const reader = createInterface({ input: child.stderr });
  reader.on('line', (text) => {
    lines.push(
      text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : { msg: text },
    );
    reader.emit('told');
  });
  return {
    lines,
    exit,
    kill: (signal) => {
      child.kill(signal);
    },
    line: async (message) => {
      while (!lines.some((l) => message.test(String(l['msg'])))) {
        await once(reader, 'told');
      }
    },
  };
}

function toToml(input: object): string {
  const lines: string[] = [];
  const tables: string[] = [];
  for (const [key, value] of Object.entries(input) as [string, unknown][]) {
    if (typeof value === 'object' && value !== null) {
      const rows = Object.entries(value).map(([k, v]) => `${k} = ${JSON.stringify(v)}`);
      tables.push(`[${key}]`, ...rows);
    } else {
      lines.push(`${key} = ${JSON.stringify(value)}`);
    }
  }
  return [...lines, ...tables].join('\n');
}

const echo = `
await runService({
  name: 'image',
  start: () => Promise.resolve({
    handlers: new Map([
      ['runtime.v1.ImageService/PullImage', { kind: 'unary', handle: (body) => Promise.resolve(body) }],
      ['a.B/Throw', { kind: 'unary', handle: () => { setTimeout(() => { throw new Error('boom'); }); return new Promise(() => undefined); } }],
    ]),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }),
});`;

test('a process starts before NATS, says so, serves, and exits with 0 at SIGTERM', async (t) => {
  const { nats, configInput, bus, rootDir } = await prepare(t);
  await nats.kill();
  const child = await spawnService(t, { ...configInput, log: { level: 'info' } }, echo);
  await child.line(/waiting for NATS/);
  await nats.start();
  await child.line(/^ready$/);
  while (!bus.connected) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  const method = 'runtime.v1.ImageService/PullImage';
  assert.equal(decode(await bus.request('image', method, encoder.encode('hello'))), 'hello');
  child.kill('SIGTERM');
  assert.deepEqual(await child.exit, [0, null]);
  assert.equal(child.lines.at(-1)?.['msg'], 'stopped', 'no line is lost at the exit');

  const [trace] = readTraces({ rootDir, match: 'PullImage' });
  assert.equal(trace?.roots[0]?.service, 'image', 'the spans were written at the exit');
});

test('an error that nothing catches is logged and ends the process with 1', async (t) => {
  const { configInput, bus } = await prepare(t);
  const child = await spawnService(t, { ...configInput, log: { level: 'info' } }, echo);
  await child.line(/^ready$/);
  const call = assert.rejects(bus.request('image', 'a.B/Throw', nothing), { kind: 'unavailable' });
  assert.deepEqual(await child.exit, [1, null]);
  const last = child.lines.at(-1);
  assert.equal(last?.['level'], 'fatal');
  assert.match(JSON.stringify(last['err']), /boom/);
  await call;
});

test('a config that is wrong ends the process with 1 and names the key', async (t) => {
  const { configInput } = await prepare(t);
  const child = await spawnService(t, { ...configInput, sokcet: 'x' }, echo);
  assert.deepEqual(await child.exit, [1, null]);
  assert.match(String(child.lines.at(-1)?.['msg']), /can not run: invalid config[\s\S]*sokcet/);
});
