import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  create,
  type DescMessage,
  fromBinary,
  type Message,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { type Config, completeConfig } from '@gantry/config';
import {
  type ContainerConfigSchema,
  type ContainerStatus,
  NamespaceMode,
  type PodSandboxConfigSchema,
  type PodSandboxStatus,
  RuntimeService,
} from '@gantry/proto';
import { type Logger, newRegistry } from '@gantry/telemetry';
import { FakeHost } from './fake-host.ts';
import { Handlers } from './handlers.ts';
import { Paths } from './paths.ts';
import { type SandboxService, startSandboxService, type World } from './start-sandbox-service.ts';
import { FakeFigures } from './stats/fake-figures.ts';
import { openRecords } from './store/records.ts';

/** A directory and a faked host that outlive the services that a test starts and kills. */
export interface Node {
  readonly directory: string;
  readonly host: FakeHost;
  readonly figures: FakeFigures;
  readonly config: Config;
  /** Left out: nobody reads it. */
  readonly log?: Logger;
  /** Left out: NRI is disabled. */
  readonly openPlugins?: World['openPlugins'];
  /** Left out: specs with little in them. */
  readonly openSpecs?: (
    deps: Pick<World, 'config' | 'handlers' | 'paths' | 'records'>,
  ) => World['specs'];
  /** Left out: SELinux is off. */
  readonly selinux?: World['selinux'];
}

type Methods = (typeof RuntimeService)['method'];

/** A literal, not a message that was made. */
type Init<T> = Exclude<T, Message>;
type PodSandboxConfigInit = Init<MessageInitShape<typeof PodSandboxConfigSchema>>;
type ContainerConfigInit = Init<MessageInitShape<typeof ContainerConfigSchema>>;

interface CallerOptions {
  readonly signal?: AbortSignal;
  readonly deadlineMs?: number;
}

/** What a test has of a service that runs. */
export interface TestService {
  readonly world: World;
  readonly service: SandboxService;
  /** Calls a method as the bus would. */
  call<K extends keyof Methods>(
    method: K,
    request: MessageInitShape<Methods[K]['input']>,
    options?: CallerOptions,
  ): Promise<MessageShape<Methods[K]['output']>>;
  /** Ends as after `kill -9`: nothing is undone, and every lock is free. */
  crash(): void;
}

export const silent: Logger = {
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  fatal: () => undefined,
  child: () => silent,
};

export async function newNode(
  t: TestContext,
  { infra = 'pause' }: { readonly infra?: Config['pods']['infra'] } = {},
): Promise<Node> {
  const directory = await mkdtemp(join(tmpdir(), 'sandbox-service-'));
  // What is still in the hands of an instance that is left for dead may come while this goes.
  t.after(() => rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));
  const config = completeConfig({
    root_dir: join(directory, 'root'),
    state_dir: join(directory, 'state'),
    pods: { infra },
  });
  return { directory, config, host: new FakeHost(), figures: new FakeFigures() };
}

/** Starts an instance on the node; it is disposed of, or left for dead, when the test ends. */
export async function startOn(t: TestContext, node: Node): Promise<TestService> {
  const { ports, crash } = node.host.instance();
  const paths = new Paths(node.config);
  const records = openRecords(paths.records, 'test');
  const own = {
    config: node.config,
    paths,
    records,
    handlers: new Handlers(node.host.handlers, 'runc'),
  };
  const world: World = {
    ...ports,
    ...own,
    figures: node.figures,
    clock: () => BigInt(Date.now()) * 1_000_000n,
    log: node.log ?? silent,
    metrics: newRegistry({ service: 'sandbox', instance: 'test' }),
    faultPoint: () => undefined,
    version: '1.2.3',
    bootId: node.host.bootId,
    ...(node.openSpecs && { specs: node.openSpecs(own) }),
    ...(node.openPlugins && { openPlugins: node.openPlugins }),
    ...(node.selinux && { selinux: node.selinux }),
  };
  const service = await startSandboxService(world);
  let isDead = false;
  t.after(async () => {
    if (!isDead) {
      await service[Symbol.asyncDispose]();
    }
    records[Symbol.dispose]();
  });
  return {
    world,
    service,
    crash: () => {
      isDead = true;
      crash();
    },
    call: (method, request, options) =>
      call(service, RuntimeService.method[method], request, options),
  };
}

/** A service on a node of its own, its start-up work done. */
export async function startAlone(
  t: TestContext,
  options?: Parameters<typeof newNode>[1],
): Promise<TestService & { readonly node: Node }> {
  const node = await newNode(t, options);
  const started = await startOn(t, node);
  await started.service.reconciliation.finished;
  return { ...started, node };
}

async function call<M extends Methods[keyof Methods]>(
  service: SandboxService,
  method: M,
  request: MessageInitShape<M['input']>,
  options: CallerOptions = {},
): Promise<MessageShape<M['output']>> {
  const handler = service.handlers.get(`${RuntimeService.typeName}/${method.name}`);
  if (handler?.kind !== 'unary') {
    throw new Error(`no unary method ${method.name}`);
  }
  const desc: { input: DescMessage; output: DescMessage } = method;
  const body = toBinary(desc.input, create(desc.input, request));
  const context = { signal: new AbortController().signal, method: method.name, ...options };
  return fromBinary(desc.output, await handler.handle(body, context)) as MessageShape<M['output']>;
}

/** A pod's config; `name` tells it from others. */
export function podConfig(
  name = 'web',
  more: Partial<PodSandboxConfigInit> = {},
): PodSandboxConfigInit {
  return {
    metadata: { name, namespace: 'default', uid: `uid-${name}`, attempt: 0 },
    labels: { app: name },
    ...more,
  };
}

/** As a kubelet asks for it: each container has its own processes. */
export const ownProcesses = {
  linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } },
};

/** Makes a pod, without a pause container where that is configured; returns its id. */
export async function runPod(service: TestService, name = 'web'): Promise<string> {
  const config = podConfig(name, service.world.config.pods.infra === 'none' ? ownProcesses : {});
  const { podSandboxId } = await service.call('runPodSandbox', { config });
  return podSandboxId;
}

/** Makes a container in a pod; returns its id. */
export async function createContainer(
  service: TestService,
  podSandboxId: string,
  name = 'main',
): Promise<string> {
  const { containerId } = await service.call('createContainer', {
    podSandboxId,
    config: containerConfig(name),
    sandboxConfig: podConfig(),
  });
  return containerId;
}

export function containerConfig(
  name = 'main',
  more: Partial<ContainerConfigInit> = {},
): ContainerConfigInit {
  return {
    metadata: { name, attempt: 0 },
    image: { image: 'busybox' },
    labels: { role: name },
    ...more,
  };
}

/** Makes and starts a container; returns its id. */
export async function startContainer(
  service: TestService,
  podSandboxId: string,
  name = 'main',
): Promise<string> {
  const containerId = await createContainer(service, podSandboxId, name);
  await service.call('startContainer', { containerId });
  return containerId;
}

/** What ContainerStatus says of a container that is there. */
export async function containerStatus(
  service: Pick<TestService, 'call'>,
  containerId: string,
): Promise<ContainerStatus> {
  const { status } = await service.call('containerStatus', { containerId });
  return status ?? assert.fail('no status');
}

/** What PodSandboxStatus says of a pod that is there. */
export async function podStatus(
  service: Pick<TestService, 'call'>,
  podSandboxId: string,
): Promise<PodSandboxStatus> {
  const { status } = await service.call('podSandboxStatus', { podSandboxId });
  return status ?? assert.fail('no status');
}
