import { statfs } from 'node:fs/promises';
import { isKind, kindOf, messageOf, RuntimeError } from '@gantry/errors';
import type { Attachment, CallOptions, Network, NetworkStatus, PodNetwork } from '../ports.ts';
import {
  type ConfigDirectory,
  notReady,
  openConfigDirectory,
  requireConfig,
} from './config-directory.ts';
import { isIdle } from './idle-plugin.ts';
import { isAtLeast, type NetworkConfig, parseNetworkConfig } from './network-config.ts';
import { ipsOf } from './plugin-result.ts';
import {
  type CapabilityValues,
  capabilityValues,
  cniArgs,
  runtimeConfigOf,
} from './pod-arguments.ts';
import { type PluginCall, runPlugin } from './run-plugin.ts';

export interface CniOptions {
  readonly confDir: string;
  /** Where plugin binaries are looked for, in this order. */
  readonly binDirs: readonly string[];
  /** One plugin call may take so long. */
  readonly timeoutMs: number;
}

/** The pod's interface; the kubelet and every plugin expect this name. */
const ifName = 'eth0';
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

  constructor(options: CniOptions, directory: ConfigDirectory) {
    this.#options = options;
    this.#directory = directory;
  }

  async plan(): Promise<NetworkConfig> {
    // Read anew: the watch may lag behind a file that was written just before the pod was asked for.
    return requireConfig(await this.#directory.reload());
  }

  status(): NetworkStatus {
    const { current } = this.#directory;
    return 'fault' in current
      ? { ready: false, reason: 'NetworkPluginNotReady', message: notReady(current.fault) }
      : { ready: true, reason: '', message: '' };
  }

  async attach(pod: PodNetwork, config: unknown, options: CallOptions = {}): Promise<Attachment> {
    const network = parseNetworkConfig(config);
    const args = cniArgs(pod);
    const values = capabilityValues(pod);
    try {
      return await this.#add(pod, network, values, args, options.signal);
    } catch (error) {
      const faults = await this.#undoAdd(pod, network, values, args);
      if (faults.length === 0) {
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
    let result: unknown;
    for (const step of stepsOf(network, values)) {
      const call = this.#callOf('ADD', step, pod, network, result);
      const { binDirs, timeoutMs } = this.#options;
      result = await runPlugin(
        { ...call, netnsPath: pod.netnsPath, args },
        { binDirs, timeoutMs, signal },
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
    command: PluginCall['command'],
    step: Step,
    pod: PodNetwork,
    network: NetworkConfig,
    prevResult: unknown,
  ): Omit<PluginCall, 'netnsPath' | 'args'> {
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
