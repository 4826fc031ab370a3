import { messageOf } from '@gantry/errors';
import { isAtLeast, type NetworkConfig } from './network-config.ts';
import { findPlugin, runPlugin } from './run-plugin.ts';

interface Options {
  readonly binDirs: readonly string[];
  readonly timeoutMs: number;
}

/** How long a plugin's word counts before it is asked again. */
const maxAgeMs = 10_000;

/**
 * Whether pods could be attached now: each plugin is there, and those that
 * know STATUS (CNI spec 1.1) say that they can. They are asked in the
 * background: to know costs a look at each binary.
 */
export class NetworkHealth {
  readonly #options: Options;
  #asked: { readonly config: NetworkConfig; readonly atMs: number } | undefined;
  #fault: { readonly config: NetworkConfig; readonly message: string } | undefined;
  #asking: Promise<void> | undefined;

  constructor(options: Options) {
    this.#options = options;
  }

  /** What stands in the way, by what is known; undefined when nothing does. */
  faultOf(config: NetworkConfig): string | undefined {
    const missing = this.#missing(config);
    if (missing !== undefined) {
      return missing;
    }
    this.#askLater(config);
    return this.#fault?.config === config ? this.#fault.message : undefined;
  }

  /** Resolves when no plugin is being asked any more. */
  async settled(): Promise<void> {
    await this.#asking;
  }

  #missing(config: NetworkConfig): string | undefined {
    for (const { type } of config.plugins) {
      try {
        findPlugin(type, this.#options.binDirs, `cni network ${config.name}`);
      } catch (error) {
        return messageOf(error);
      }
    }
    return undefined;
  }

  #askLater(config: NetworkConfig): void {
    const now = performance.now();
    const isFresh = this.#asked?.config === config && now - this.#asked.atMs < maxAgeMs;
    if (!isAtLeast(config.cniVersion, '1.1.0') || isFresh || this.#asking !== undefined) {
      return;
    }
    this.#asked = { config, atMs: now };
    this.#asking = this.#ask(config).finally(() => {
      this.#asking = undefined;
    });
  }

  /** Never rejects. */
  async #ask(config: NetworkConfig): Promise<void> {
    const { cniVersion, name, plugins } = config;
    try {
      for (const { capabilities: _, ...own } of plugins) {
        await runPlugin(
          {
            command: 'STATUS',
            type: own.type,
            network: name,
            config: { ...own, cniVersion, name },
          },
          this.#options,
        );
      }
      this.#fault = undefined;
    } catch (error) {
      this.#fault = { config, message: messageOf(error) };
    }
  }
}
