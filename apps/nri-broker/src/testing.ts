import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type Config, configSchema, parseConfig } from '@gantry/config';
import { type DefinedPlugin, type RunningPlugin, runPlugin } from '@gantry/nri';
import {
  type Container,
  ContainerSchema,
  type ContainerUpdate,
  type PodSandbox,
  PodSandboxSchema,
} from '@gantry/proto/nri';
import { newRegistry, type Registry } from '@gantry/telemetry';
import type { ContainerOwners } from './events/container-owners.ts';
import type { PluginHost, Snapshot, WantedUpdates } from './ports.ts';
import { type Broker, startBroker } from './start-broker.ts';

/** Pods and containers that a test says are there; keeps what plugins ask for. */
export class FakeHost implements PluginHost {
  pods: PodSandbox[] = [];
  containers: Container[] = [];
  podsInMaking: PodSandbox[] = [];
  containersInMaking: Container[] = [];
  stopping: string[] = [];
  stopped: string[] = [];
  failed: ContainerUpdate[] = [];
  readonly asked: WantedUpdates[] = [];
  snapshots = 0;

  snapshot(): Promise<Snapshot> {
    this.snapshots++;
    const { pods, containers, podsInMaking, containersInMaking, stopping, stopped } = this;
    const making = { podsInMaking, containersInMaking };
    return Promise.resolve({ pods, containers, ...making, stopping, stopped });
  }

  update(request: WantedUpdates): Promise<ContainerUpdate[]> {
    this.asked.push(request);
    return Promise.resolve(this.failed);
  }

  owners(containerId: string): Promise<ContainerOwners> {
    return Promise.resolve({ containerId, owners: [] });
  }
}

export interface TestBroker extends Broker {
  readonly host: FakeHost;
  readonly socket: string;
  readonly dir: string;
  readonly metrics: Registry;
  readonly logged: { readonly message: string; readonly fields: object }[];
  /** Runs a plugin of the kit and waits until it is asked. */
  run(plugin: DefinedPlugin): Promise<RunningPlugin>;
  /** Waits until so many plugins are asked. */
  untilCount(count: number): Promise<void>;
}

/** A broker on a socket of its own, with long times; all ends with the test. `earlierDir` is that of one before it. */
export async function startTestBroker(
  t: TestContext,
  nri: Partial<Config['nri']> = {},
  host = new FakeHost(),
  earlierDir?: string,
): Promise<TestBroker> {
  const dir = earlierDir ?? (await mkdtemp(join(tmpdir(), 'nri-')));
  // The broker, or another one on the same directory, may be writing still.
  t.after(() => rm(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));
  await mkdir(join(dir, 'plugins'), { recursive: true });
  const socket = join(dir, 'nri.sock');
  const config = parseConfig(configSchema, {
    nri: {
      socket,
      plugin_path: join(dir, 'plugins'),
      plugin_config_path: join(dir, 'conf.d'),
      // On a busy host no plugin is to be dropped but by the tests that are about that.
      plugin_registration_timeout_ms: 20_000,
      plugin_request_timeout_ms: 20_000,
      plugin_sync_timeout_ms: 30_000,
      ...nri,
    },
  }).nri;
  const logged: { message: string; fields: object }[] = [];
  const note = (fields: object, message: string): void => {
    logged.push({ message, fields });
  };
  const log = { debug: note, info: note, warn: note, error: note } as never;
  const metrics = newRegistry({ service: 'nri', instance: 'test' });
  const signal = new AbortController().signal;
  const broker = await startBroker({
    config,
    stateDir: join(dir, 'state'),
    host,
    log,
    metrics,
    signal,
  });
  t.after(() => broker[Symbol.asyncDispose]());
  const untilCount = async (count: number): Promise<void> => {
    while (broker.dispatcher.count !== count) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  return {
    ...broker,
    [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
    host,
    socket,
    dir,
    metrics,
    logged,
    untilCount,
    run: async (plugin) => {
      const before = broker.dispatcher.count;
      const running = runPlugin(plugin, { socket, environment: {} });
      t.after(() => running[Symbol.asyncDispose]());
      await untilCount(before + 1);
      return running;
    },
  };
}

export function pod(id: string, more: MessageInitShape<typeof PodSandboxSchema> = {}): PodSandbox {
  return create(PodSandboxSchema, { id, name: id, namespace: 'default', ...more });
}

export function container(
  id: string,
  more: MessageInitShape<typeof ContainerSchema> = {},
): Container {
  return create(ContainerSchema, { id, name: id, podSandboxId: 'p', ...more });
}
