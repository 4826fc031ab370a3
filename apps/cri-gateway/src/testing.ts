import { spawn } from 'node:child_process';
import { on, once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import type { RawHandlers, ServiceName } from '@gantry/bus';
// oxlint-disable-next-line eslint/no-restricted-imports -- the package's own door for tests
import { startTestNats, type TestNats } from '@gantry/bus/testing';
import { type Config, completeConfig } from '@gantry/config';
import { ImageService, RuntimeService } from '@gantry/proto';
import { dial, type RpcClient, type RpcConnection } from '@gantry/rpc';
import { type ServiceDefinition, startService } from '@gantry/service-kit';
import { createLogger } from '@gantry/telemetry';
import { service } from './service.ts';

/** A gateway on a real socket and a real nats-server. */
export interface TestGateway {
  readonly nats: TestNats;
  readonly config: Config;
  readonly connection: RpcConnection;
  readonly runtime: RpcClient<typeof RuntimeService>;
  readonly images: RpcClient<typeof ImageService>;
  readonly adminUrl: string;
  /** Runs a service with these handlers until the test ends. */
  readonly run: (name: ServiceName, handlers: RawHandlers) => Promise<AsyncDisposable>;
  /** As `run`, in a process of its own; `handlers` is the source of the map. */
  readonly spawn: (name: ServiceName, handlers: string) => Promise<ServiceProcess>;
}

export interface ServiceProcess {
  /** The next line that it writes to stdout. */
  nextLine(): Promise<unknown>;
  /** Kills it with SIGKILL. */
  kill(): Promise<void>;
}

export async function startTestGateway(t: TestContext): Promise<TestGateway> {
  const nats = await startTestNats(t);
  const dir = await mkdtemp(join(tmpdir(), 'gateway-'));
  const config = completeConfig({
    node_name: nats.node,
    root_dir: join(dir, 'root'),
    state_dir: join(dir, 'run'),
    nats: { url: nats.url, credentials_dir: dirname(nats.files.credentialsFiles.gateway) },
    grpc: { socket: join(dir, 'run', 'gantry.sock') },
    admin: { port: 0 },
    log: { level: 'error' },
  });
  const lines: string[] = [];
  const log = createLogger({
    service: 'gateway',
    instance: 'g',
    level: 'info',
    destination: { write: (line) => lines.push(line) },
  });
  const stack = new AsyncDisposableStack();
  t.after(async () => {
    await stack.disposeAsync();
    await rm(dir, { recursive: true, force: true });
  });
  stack.use(await startService(service, { config, log, instance: 'g' }));
  const connection = stack.use(dial(config.grpc.socket));
  return {
    nats,
    config,
    connection,
    runtime: connection.client(RuntimeService),
    images: connection.client(ImageService),
    adminUrl: /"url":"(http:[^"]*)"/.exec(lines.join(''))?.[1] ?? '',
    run: async (name, handlers) =>
      stack.use(await startService(fakeService(name, handlers), { config, drainMs: 100 })),
    spawn: (name, handlers) => spawnService(t, nats, dir, name, handlers),
  };
}

function fakeService(name: ServiceName, handlers: RawHandlers): ServiceDefinition {
  return {
    name,
    start: () => Promise.resolve({ handlers, [Symbol.asyncDispose]: () => Promise.resolve() }),
  };
}

async function spawnService(
  t: TestContext,
  nats: TestNats,
  dir: string,
  name: ServiceName,
  handlers: string,
): Promise<ServiceProcess> {
  const packages = join(import.meta.dirname, '..', '..', '..', 'packages');
  const main = join(dir, `${name}.ts`);
  await writeFile(
    main,
    `import { connectBus } from '${packages}/bus/src/index.ts';
const bus = await connectBus(${JSON.stringify(nats.busOptions(name))});
await bus.serve(${handlers});
process.stdout.write('ready\\n');`,
  );
  const child = spawn(process.execPath, [main], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exit;
  };
  t.after(kill);
  const lines = on(createInterface({ input: child.stdout }), 'line');
  await lines.next();
  return { nextLine: () => lines.next(), kill };
}
