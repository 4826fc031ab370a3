import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { RuntimeError } from '@gantry/errors';
import { type Bus, type BusOptions, connectBus } from './bus.ts';
import { type NatsFiles, writeNatsConfig } from './nats-config.ts';
import type { ServiceName } from './subjects.ts';

/** A real nats-server for one test. */
export interface TestNats {
  /** `nats://127.0.0.1:<port>` */
  readonly url: string;
  readonly node: string;
  readonly files: NatsFiles;
  /** What connectBus wants of `service`. */
  busOptions(service: ServiceName): BusOptions;
  /** Connects a bus, which is disposed of after the test. */
  connect(service: ServiceName, options?: Partial<BusOptions>): Promise<Bus>;
  /** Kills the server with SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on the same port. */
  start(): Promise<void>;
}

/**
 * Starts nats-server on a free loopback port with the config and the
 * credentials that writeNatsConfig makes. It ends after the test `t`.
 */
export async function startTestNats(
  t: { after(fn: () => Promise<void>): void },
  options: { readonly node?: string } = {},
): Promise<TestNats> {
  const node = options.node ?? 'test-node';
  const dir = await mkdtemp(join(tmpdir(), 'gantry-nats-'));
  const buses: Bus[] = [];
  let server: ChildProcess | undefined;
  const kill = async (): Promise<void> => {
    if (server?.exitCode === null && server.signalCode === null) {
      const exit = once(server, 'exit');
      server.kill('SIGKILL');
      await exit;
    }
  };
  t.after(async () => {
    await Promise.allSettled(buses.map((bus) => bus[Symbol.asyncDispose]()));
    await kill();
    await rm(dir, { recursive: true, force: true });
  });
  const base = { node, dir, host: '127.0.0.1' };
  await writeNatsConfig({ ...base, port: -1, portsDir: dir });
  server = startServer(join(dir, 'nats-server.conf'));
  const url = await portOf(dir, server);
  const port = Number(new URL(url).port);
  const files = await writeNatsConfig({ ...base, port, portsDir: dir });
  const busOptions = (service: ServiceName): BusOptions => ({
    node,
    service,
    servers: url,
    credentialsFile: files.credentialsFiles[service],
  });
  return {
    url,
    node,
    files,
    busOptions,
    connect: async (service, overrides) => {
      const bus = await connectBus({ ...busOptions(service), ...overrides });
      buses.push(bus);
      return bus;
    },
    kill,
    start: async () => {
      await kill();
      server = startServer(files.configFile);
      await portOf(dir, server);
    },
  };
}

/** Starts nats-server with a config file of the test's own, which leaves the port to it. */
export async function startNatsServer(
  t: { after(fn: () => Promise<void>): void },
  configFile: string,
): Promise<{ readonly url: string }> {
  const dir = dirname(configFile);
  const server = spawn('nats-server', ['--config', configFile, '--ports_file_dir', dir], {
    stdio: 'ignore',
  });
  const exit = once(server, 'exit');
  t.after(async () => {
    server.kill('SIGKILL');
    await exit;
  });
  return { url: await portOf(dir, server) };
}

function startServer(configFile: string): ChildProcess {
  return spawn('nats-server', ['--config', configFile], { stdio: 'ignore' });
}

/** Waits for the file in which the server tells its ports. */
async function portOf(dir: string, server: ChildProcess): Promise<string> {
  let failure: Error | undefined;
  server.once('error', (error) => {
    failure = error;
  });
  for (let tries = 0; tries < 1500; tries++) {
    if (failure !== undefined || server.exitCode !== null) {
      throw new RuntimeError('failed-precondition', 'start nats-server (Debian: nats-server)', {
        cause: failure,
      });
    }
    const url = await readUrl(dir, server.pid ?? 0);
    if (url !== undefined) {
      return url;
    }
    await delay(10);
  }
  throw new RuntimeError('deadline-exceeded', 'start nats-server: it told no port');
}

async function readUrl(dir: string, pid: number): Promise<string | undefined> {
  const name = (await readdir(dir)).find((file) => file.endsWith(`_${pid}.ports`));
  if (name === undefined) {
    return undefined;
  }
  try {
    const ports: unknown = JSON.parse(await readFile(join(dir, name), 'utf8'));
    if (typeof ports === 'object' && ports !== null && 'nats' in ports) {
      return Array.isArray(ports.nats) ? String(ports.nats[0]) : undefined;
    }
  } catch {
    // Half written.
  }
  return undefined;
}
