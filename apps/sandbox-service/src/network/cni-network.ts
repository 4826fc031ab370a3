import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { isKind, kindOf, messageOf, RuntimeError } from '@gantry/errors';
import type { Attachment, CallOptions, Network, NetworkStatus, PodNetwork } from '../ports.ts';
import { AttachmentCache, type CachedAttachment } from './attachment-cache.ts';
import {
  type ConfigDirectory,
  notReady,
  openConfigDirectory,
  requireConfig,
} from './config-directory.ts';
import { generateConfig, generatedFile, parsePodCidr } from './generate-config.ts';
import { isIdle } from './idle-plugin.ts';
import { isAtLeast, type NetworkConfig, parseNetworkConfig } from './network-config.ts';
import { NetworkHealth } from './network-health.ts';
import { ipsOf } from './plugin-result.ts';
import {
  type CapabilityValues,
  capabilityValues,
  cniArgs,
  runtimeConfigOf,
} from './pod-arguments.ts';
import { type PodCall, runPlugin } from './run-plugin.ts';

export interface CniOptions {
  readonly confDir: string;
  /** Where plugin binaries are looked for, in this order. */
  readonly binDirs: readonly string[];
  /** One plugin call may take so long. */
  readonly timeoutMs: number;
  /** Where it is kept what was attached; outlives a reboot. */
  readonly cacheDir: string;
  /** A plugin that adds a pod may take so long when its caller has given up; five seconds unless told. */
  readonly abortGraceMs?: number;
  /** From which a configuration is made when a kubelet tells the node's ranges; empty for none. */
  readonly confTemplate?: string;
}

/** The pod's interface; the kubelet and every plugin expect this name. */
const ifName = 'eth0';
/**
 * A host-local that is killed between making the file of an address and writing down whose it is leaves an
 * address that no DEL gives back.
 */
const defaultAbortGraceMs = 5000;
/** statfs(2) type of a namespace file. */
const nsfsMagic = 0x6e736673;

/** Opens pod networking by CNI plugins and watches its configuration until disposed of. */
export async function openCniNetwork(options: CniOptions): Promise<Network & AsyncDisposable> {
  return new CniNetwork(options, await openConfigDirectory(options.confDir));
}

/** A plugin of the chain, ready to be called. */
interface Step {
  readonly type: string;
  readonly config: Readonly<Record<string, unknown>>;
}

class CniNetwork implements Network, AsyncDisposable {
  readonly #options: CniOptions;
  readonly #directory: ConfigDirectory;
  readonly #health: NetworkHealth;
  readonly #cache: AttachmentCache;

  constructor(options: CniOptions, directory: ConfigDirectory) {
    this.#options = options;
    this.#directory = directory;
    this.#health = new NetworkHealth(options);
    this.#cache = new AttachmentCache(options.cacheDir);
  }

  async plan(): Promise<NetworkConfig> {
    // Read anew: the watch may lag behind a file that was written just before the pod was asked for.
    return requireConfig(await this.#directory.reload());
  }

  status(): NetworkStatus {
    const { current } = this.#directory;
    const message =
      'fault' in current ? notReady(current.fault) : this.#health.faultOf(current.config);
    return message === undefined
      ? { ready: true, reason: '', message: '' }
      : { ready: false, reason: 'NetworkPluginNotReady', message };
  }

  describe(): unknown {
    const { current } = this.#directory;
    const { confDir, binDirs } = this.#options;
    return { confDir, binDirs, ...current };
  }

  async setPodCidr(podCidr: string): Promise<void> {
    const { confDir, confTemplate: template = '' } = this.#options;
    const ranges = parsePodCidr(podCidr);
    if (template === '') {
      return;
    }
    const loaded = await this.#directory.reload();
    // Somebody else's configuration is not ours to replace.
    if ('fault' in loaded || loaded.file === join(confDir, generatedFile)) {
      await generateConfig({ confDir, template }, ranges);
      await this.#directory.reload();
    }
  }

  async collect(isKnown: (sandboxId: string) => boolean): Promise<readonly string[]> {
    const stale = (await this.#cache.list()).filter(({ pod }) => !isKnown(pod.sandboxId));
    for (const { pod, config, result } of stale) {
      await this.detach(pod, { config, result });
    }
    await this.#cache.exclusively(async () => {
      await this.#collectByPlugins(await this.#cache.list());
    });
    return stale.map(({ pod }) => pod.sandboxId);
  }

  /** Each network is told of all that is attached to it (CNI spec 1.1, section "GC"). */
  async #collectByPlugins(attached: readonly CachedAttachment[]): Promise<void> {
    const { current } = this.#directory;
    const configs = attached.map(({ config }) => parseNetworkConfig(config));
    const networks = new Map(configs.map((config) => [config.name, config]));
    if (!('fault' in current)) {
      networks.set(current.config.name, current.config);
    }
    for (const network of networks.values()) {
      if (isAtLeast(network.cniVersion, '1.1.0') && network.disableGC !== true) {
        const valid = attached.filter((_, index) => configs[index]?.name === network.name);
        await this.#collectIn(network, valid);
      }
    }
  }

  async #collectIn(network: NetworkConfig, valid: readonly CachedAttachment[]): Promise<void> {
    const { cniVersion, name, plugins } = network;
    const attachments = valid.map(({ pod }) => ({ containerID: pod.sandboxId, ifname: ifName }));
    for (const { capabilities: _, ...own } of plugins) {
      const config = { ...own, cniVersion, name, 'cni.dev/valid-attachments': attachments };
      await runPlugin({ command: 'GC', type: own.type, network: name, config }, this.#options);
    }
  }

  async attach(pod: PodNetwork, config: unknown, options: CallOptions = {}): Promise<Attachment> {
    const network = parseNetworkConfig(config);
    const args = cniArgs(pod);
    const values = capabilityValues(pod);
    await this.#cache.add({ pod, config: network });
    try {
      const attachment = await this.#add(pod, network, values, args, options.signal);
      await this.#cache.complete({ pod, config: network, result: attachment.result });
      return attachment;
    } catch (error) {
      const faults = await this.#undoAdd(pod, network, values, args);
      if (faults.length === 0) {
        await this.#cache.remove(pod.sandboxId);
        throw error;
      }
      // Its words are in the message already: as a cause they would be told twice.
      throw new RuntimeError(kindOf(error), `${messageOf(error)}; and then ${faults.join('; ')}`);
    }
  }

  async #add(
    pod: PodNetwork,
    network: NetworkConfig,
    values: CapabilityValues,
    args: string,
    signal: AbortSignal | undefined,
  ): Promise<Attachment> {
    const { binDirs, timeoutMs, abortGraceMs = defaultAbortGraceMs } = this.#options;
    using patience = abortLater(signal, abortGraceMs);
    let result: unknown;
    for (const step of stepsOf(network, values)) {
      signal?.throwIfAborted();
      const call = this.#callOf('ADD', step, pod, network, result);
      result = await runPlugin(
        { ...call, netnsPath: pod.netnsPath, args },
        { binDirs, timeoutMs, signal: patience.signal },
      );
    }
    const ips = ipsOf(result, ifName);
    if (ips.length === 0) {
      const message = `cni ADD (network ${network.name}, pod ${pod.sandboxId}): no plugin gave ${ifName} an address`;
      throw new RuntimeError('internal', message);
    }
    return { ips, result, config: network };
  }

  /** DEL for the whole list, as the spec asks for a failed ADD; one that fails does not stop the others. */
  async #undoAdd(
    pod: PodNetwork,
    network: NetworkConfig,
    values: CapabilityValues,
    args: string,
  ): Promise<string[]> {
    const faults: string[] = [];
    for (const step of stepsOf(network, values).reverse()) {
      await this.#del(step, pod, network, args, undefined).catch((error: unknown) => {
        // A plugin that cannot run at all has not done anything either.
        if (!isKind(error, 'failed-precondition')) {
          faults.push(messageOf(error));
        }
      });
    }
    return faults;
  }

  async detach(
    pod: PodNetwork,
    used: { config: unknown; result?: unknown },
    options: CallOptions = {},
  ): Promise<void> {
    const network = parseNetworkConfig(used.config);
    const told = tellIfValid(pod);
    if (told === undefined) {
      return;
    }
    // The first failure stops it: an address must not be free while rules still send traffic to it.
    for (const step of stepsOf(network, told.values).reverse()) {
      try {
        await this.#del(step, pod, network, told.args, used.result, options.signal);
      } catch (error) {
        // A plugin that cannot run at all has done nothing to a pod that was never attached.
        if (used.result !== undefined || !isKind(error, 'failed-precondition')) {
          throw error;
        }
      }
    }
    await this.#cache.remove(pod.sandboxId);
  }

  async #del(
    step: Step,
    pod: PodNetwork,
    network: NetworkConfig,
    args: string,
    result: unknown,
    signal?: AbortSignal,
  ): Promise<void> {
    // Before 0.4.0 a DEL got no result.
    const call = this.#callOf(
      'DEL',
      step,
      pod,
      network,
      isAtLeast(network.cniVersion, '0.4.0') ? result : undefined,
    );
    const netnsPath = (await isNamespace(pod.netnsPath)) ? pod.netnsPath : '';
    const { binDirs, timeoutMs } = this.#options;
    await runPlugin({ ...call, netnsPath, args }, { binDirs, timeoutMs, signal });
  }

  #callOf(
    command: PodCall['command'],
    step: Step,
    pod: PodNetwork,
    network: NetworkConfig,
    prevResult: unknown,
  ): Omit<PodCall, 'netnsPath' | 'args'> {
    const config = prevResult === undefined ? step.config : { ...step.config, prevResult };
    return {
      command,
      type: step.type,
      network: network.name,
      containerId: pod.sandboxId,
      ifName,
      config,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]();
    await this.#health.settled();
  }
}

/** What each plugin gets (CNI spec 1.0, section 3); plugins with nothing to do are left out. */
function stepsOf(network: NetworkConfig, values: CapabilityValues): Step[] {
  return network.plugins.flatMap((plugin, position) => {
    const runtimeConfig = runtimeConfigOf(plugin, values);
    if (isIdle(plugin, position, runtimeConfig)) {
      return [];
    }
    const { capabilities: _, ...own } = plugin;
    const config = {
      ...own,
      cniVersion: network.cniVersion,
      name: network.name,
      ...(runtimeConfig === undefined ? {} : { runtimeConfig }),
    };
    return [{ type: plugin.type, config }];
  });
}

/** Undefined for a pod that attach() has refused before it called a plugin. */
function tellIfValid(pod: PodNetwork): { args: string; values: CapabilityValues } | undefined {
  try {
    return { args: cniArgs(pod), values: capabilityValues(pod) };
  } catch (error) {
    if (isKind(error, 'invalid-argument')) {
      return undefined;
    }
    throw error;
  }
}

/** False when the file is gone, and when it is there but no namespace is mounted on it any more. */
async function isNamespace(path: string): Promise<boolean> {
  return statfs(path).then(
    ({ type }) => type === nsfsMagic,
    () => false,
  );
}

/** A signal that aborts so much later than `signal`, until it is disposed of. */
function abortLater(
  signal: AbortSignal | undefined,
  ms: number,
): Disposable & { readonly signal: AbortSignal } {
  const later = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    timer = setTimeout(() => {
      later.abort(signal?.reason);
    }, ms);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  return {
    signal: later.signal,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    },
  };
}
