import { RuntimeError } from '@gantry/errors';
import type { OciResources } from '@gantry/oci';
import { FakeLocks } from './fake-locks.ts';
import { type FakeMount, fakeMounts } from './fake-mounts.ts';
import { fakeNamespaces } from './fake-namespaces.ts';
import { fakeNetwork } from './fake-network.ts';
import { fakeRoots } from './fake-roots.ts';
import { fakeSpecs } from './fake-specs.ts';
import type {
  ContainerExit,
  ContainerLaunch,
  Locks,
  Mounts,
  Namespaces,
  Network,
  Processes,
  ProcessId,
  RootFilesystems,
  Runtime,
  RuntimeHandler,
} from './ports.ts';
import type { Specs } from './specs/specs.ts';

/** The ports of one instance of the service. */
export interface Ports {
  readonly network: Network;
  readonly runtime: Runtime;
  readonly roots: RootFilesystems;
  readonly mounts: Mounts;
  readonly namespaces: Namespaces;
  readonly locks: Locks;
  readonly processes: Processes;
  readonly specs: Specs;
}

interface FakeContainer {
  readonly init: ProcessId;
  readonly monitor: ProcessId;
  readonly launch: ContainerLaunch;
  phase: 'created' | 'running' | 'stopped';
}

const handler: RuntimeHandler = {
  name: 'runc',
  path: '/usr/sbin/runc',
  systemdCgroup: false,
  privilegedWithoutHostDevices: false,
};

/**
 * A host that only remembers: what instances of the service do to it is kept
 * here, and outlives them. Calls can be counted, made to fail, and made the
 * last thing that an instance does.
 */
export class FakeHost {
  readonly netns = new Set<string>();
  readonly mounts = new Map<string, FakeMount>();
  readonly roots = new Set<string>();
  readonly images = new Set(['localhost/gantry/pause:1', 'busybox']);
  /** Sandbox id -> address. */
  readonly addresses = new Map<string, string>();
  readonly containers = new Map<string, FakeContainer>();
  /** Container id -> the limits that it was last told. */
  readonly limits = new Map<string, OciResources>();
  /** Mount or file -> SELinux label. */
  readonly labels = new Map<string, string>();
  readonly exits = new Map<string, ContainerExit>();
  readonly alive = new Set<number>();
  readonly handlers: RuntimeHandler[] = [handler];
  /** What each DEL was told. */
  readonly detached: unknown[] = [];
  /** Whom each killAll was told to kill. */
  readonly killed: { readonly init: ProcessId | undefined; monitor: ProcessId | undefined }[] = [];
  /** Changes when the host is started anew. */
  bootId = 'boot-1';
  /** Every call, as `port.method`, with the first argument where that is text. */
  readonly calls: string[] = [];
  /** Throws, by `port.method`: the call has had no effect then. */
  readonly failures = new Map<string, Error>();
  /** Awaited before the call of that name takes effect. */
  readonly holds = new Map<string, Promise<void>>();
  /** What a stop signal does; exits with 143 unless told. */
  onSignal: (id: string, signal: number) => void = (id, signal) => {
    this.exit(id, 128 + signal);
  };
  /** What a program does at once. */
  onStart: (id: string) => void = () => undefined;
  networkReady = true;
  readonly #locks = new FakeLocks();
  #watchers = new Map<object, (id: string) => void>();
  #dead = new WeakSet<object>();
  #waitingForEnd = new Map<number, (() => void)[]>();
  #lastPid = 100;
  #crashAt: { call: number; after: boolean; crashed: () => void } | undefined;

  /** The ports of a new instance. */
  instance(): { readonly ports: Ports; readonly crash: () => void } {
    const key = {};
    const guard = <T extends object>(name: string, port: T): T => this.#guarded(key, name, port);
    const ports = {
      network: guard('network', fakeNetwork(this)),
      runtime: guard('runtime', this.#runtime(key)),
      roots: guard('roots', fakeRoots(this.images, this.roots, this.mounts)),
      mounts: guard('mounts', fakeMounts(this.mounts, this.labels)),
      namespaces: guard('namespaces', fakeNamespaces(this.netns, this.mounts)),
      locks: this.#locks.port(key),
      processes: this.#processes(),
      specs: guard('specs', fakeSpecs()),
    };
    return {
      ports,
      crash: () => {
        this.#crash(key);
      },
    };
  }

  /** Lets the instance die that makes the call of this number, before or after it takes effect. Resolves then. */
  crashAtCall(call: number, after: boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.calls.length = 0;
    this.#crashAt = { call, after, crashed: resolve };
    return promise;
  }

  /** A container's first process ends. */
  exit(id: string, exitCode: number, oomKilled = false): void {
    const container = this.containers.get(id);
    if (container === undefined || container.phase === 'stopped') {
      return;
    }
    container.phase = 'stopped';
    const finishedAtNanos = BigInt(Date.now()) * 1_000_000n;
    this.exits.set(id, { exitCode, finishedAtNanos, oomKilled });
    this.tellExit(id);
    this.end(container.init.pid);
    this.end(container.monitor.pid);
  }

  /** Every instance is told of an exit, whether there was one or not. */
  tellExit(id: string): void {
    for (const onExit of this.#watchers.values()) {
      onExit(id);
    }
  }

  /** A process is gone, whatever it held. */
  end(pid: number): void {
    this.alive.delete(pid);
    for (const resolve of this.#waitingForEnd.get(pid) ?? []) {
      resolve();
    }
    this.#waitingForEnd.delete(pid);
  }

  /** The host is started anew: nothing volatile is left. */
  reboot(): void {
    for (const state of [this.netns, this.mounts, this.addresses, this.containers]) {
      state.clear();
    }
    this.exits.clear();
    this.alive.clear();
    this.killed.length = 0;
    this.bootId += '1';
  }

  /** What is left on the host, in words; empty when nothing is. */
  leftovers(): readonly string[] {
    return [
      ...[...this.netns].map((path) => `netns ${path}`),
      ...[...this.mounts.keys()].map((path) => `mount ${path}`),
      ...[...this.roots].map((id) => `root ${id}`),
      ...[...this.addresses.keys()].map((id) => `address of ${id}`),
      ...[...this.containers.keys()].map((id) => `container ${id}`),
      ...[...this.exits.keys()].map((id) => `exit ${id}`),
      ...[...this.alive].map((pid) => `process ${pid}`),
    ];
  }

  #crash(key: object): void {
    this.#dead.add(key);
    this.#watchers.delete(key);
    this.#locks.lose(key);
  }

  /** Counts calls, and lets none of a dead instance through or return. */
  #guarded<T extends object>(key: object, name: string, port: T): T {
    return new Proxy(port, {
      get: (target, method) => {
        const call = Reflect.get(target, method) as (...args: unknown[]) => unknown;
        if (name === 'network' && method === 'status') {
          return call;
        }
        return (...args: unknown[]) =>
          this.#through(key, `${name}.${String(method)}`, args, () => call(...args));
      },
    });
  }

  async #through(key: object, name: string, args: unknown[], call: () => unknown) {
    const never = new Promise<never>(() => undefined);
    if (this.#dead.has(key)) {
      return never;
    }
    this.calls.push(typeof args[0] === 'string' ? `${name} ${args[0]}` : name);
    const plan = this.#crashAt?.call === this.calls.length ? this.#crashAt : undefined;
    if (plan?.after === false) {
      this.#crash(key);
      plan.crashed();
      return never;
    }
    await this.holds.get(name);
    const failure = this.failures.get(name);
    if (failure !== undefined) {
      throw failure;
    }
    const result = await call();
    if (plan !== undefined) {
      this.#crash(key);
      plan.crashed();
    }
    return this.#dead.has(key) ? never : result;
  }

  #runtime(key: object): Runtime {
    return {
      create: (launch) => {
        const process = () => {
          this.#lastPid += 1;
          this.alive.add(this.#lastPid);
          return { pid: this.#lastPid, startTime: '1' };
        };
        const container = { launch, init: process(), monitor: process() };
        this.containers.set(launch.id, { ...container, phase: 'created' });
        return Promise.resolve({ init: container.init, monitor: container.monitor });
      },
      start: (_, id) => {
        const container = this.containers.get(id);
        if (container?.phase !== 'created') {
          throw new RuntimeError('internal', `start ${id}: not created`);
        }
        container.phase = 'running';
        this.onStart(id);
        return Promise.resolve();
      },
      update: (_, id, limits) => {
        if (this.containers.get(id)?.phase !== 'running') {
          throw new RuntimeError('failed-precondition', `update ${id}: it does not run`);
        }
        this.limits.set(id, limits);
        return Promise.resolve();
      },
      checkpoint: () => Promise.resolve(),
      signal: (init, signal) => {
        const [id] = this.#byPid(init.pid) ?? [];
        if (id !== undefined) {
          this.onSignal(id, signal);
        }
        return Promise.resolve(id !== undefined);
      },
      killAll: (_, id, init, monitor) => {
        this.killed.push({ init, monitor });
        this.exit(id, 137);
        return Promise.resolve();
      },
      delete: (_, id) => {
        const container = this.containers.get(id);
        if (container !== undefined && container.phase !== 'stopped') {
          throw new RuntimeError('failed-precondition', `delete ${id}: it runs`);
        }
        this.containers.delete(id);
        this.exits.delete(id);
        return Promise.resolve();
      },
      reopenLog: () => Promise.resolve(),
      exitOf: (id) => Promise.resolve(this.exits.get(id)),
      list: () => Promise.resolve([...this.containers.keys()]),
      watchExits: (onExit) => {
        this.#watchers.set(key, onExit);
        for (const id of this.exits.keys()) {
          onExit(id);
        }
        return Promise.resolve({
          [Symbol.asyncDispose]: () => {
            this.#watchers.delete(key);
            return Promise.resolve();
          },
        });
      },
    };
  }

  #byPid(pid: number): [string, FakeContainer] | undefined {
    return [...this.containers].find(
      ([, container]) => container.init.pid === pid && container.phase !== 'stopped',
    );
  }

  #processes(): Processes {
    return {
      isRunning: ({ pid }) => Promise.resolve(this.alive.has(pid)),
      waitForExit: ({ pid }) =>
        new Promise((resolve) => {
          if (!this.alive.has(pid)) {
            resolve();
            return;
          }
          const waiting = this.#waitingForEnd.get(pid) ?? [];
          this.#waitingForEnd.set(pid, [...waiting, resolve]);
        }),
      allowance: () => Promise.resolve({ cpus: '0-1', mems: '0' }),
      allowanceIn: () => Promise.resolve({ cpus: '0-1', mems: '0' }),
    };
  }
}
