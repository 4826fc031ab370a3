import type { Digest } from '@gantry/oci';
import type {
  ChainsInUse,
  ChainUse,
  DiskUsage,
  LayerOptions,
  LayerSpec,
  LayerStore,
  LayerTar,
} from '../ports.ts';

/**
 * A layer store that took over from another kind: new layers go to the active
 * one, chains that the former one has in full are served from there, so that
 * running containers and their images outlive the change.
 */
export class SucceedingLayerStore implements LayerStore {
  readonly name: string;
  readonly #active: LayerStore;
  readonly #former: LayerStore;

  constructor(active: LayerStore, former: LayerStore) {
    this.name = active.name;
    this.#active = active;
    this.#former = former;
  }

  async has(diffId: Digest, chain: readonly Digest[] = [diffId]): Promise<boolean> {
    return (await this.#active.has(diffId)) || (await hasAll(this.#former, chain));
  }

  prepareLayer(
    layer: LayerSpec,
    source: AsyncIterable<Uint8Array>,
    options: LayerOptions,
  ): Promise<DiskUsage> {
    return this.#active.prepareLayer(layer, source, options);
  }

  async hasChain(chain: readonly Digest[]): Promise<boolean> {
    return (await this.#active.hasChain(chain)) || (await this.#former.hasChain(chain));
  }

  async sync(alongside: string): Promise<void> {
    await this.#active.sync(alongside);
  }

  async prepareChain(diffIds: readonly Digest[], options: LayerOptions): Promise<void> {
    await (await this.#serving(diffIds)).prepareChain(diffIds, options);
  }

  async lowerOf(diffIds: readonly Digest[]): Promise<readonly string[]> {
    return (await this.#serving(diffIds)).lowerOf(diffIds);
  }

  async settleChain(diffIds: readonly Digest[], use: () => ChainUse): Promise<void> {
    await this.#active.settleChain(diffIds, use);
    await this.#former.settleChain(diffIds, use);
  }

  async settleChains(use: () => ChainsInUse): Promise<void> {
    await this.#active.settleChains(use);
    await this.#former.settleChains(use);
  }

  async chainUsage(): Promise<DiskUsage> {
    const [a, b] = [await this.#active.chainUsage(), await this.#former.chainUsage()];
    return { bytes: a.bytes + b.bytes, inodes: a.inodes + b.inodes };
  }

  async remove(diffId: Digest): Promise<void> {
    await this.#active.remove(diffId);
    await this.#former.remove(diffId);
  }

  async openTar(diffId: Digest): Promise<LayerTar | undefined> {
    return (await this.#active.openTar(diffId)) ?? (await this.#former.openTar(diffId));
  }

  async list(): Promise<readonly Digest[]> {
    return [...new Set([...(await this.#active.list()), ...(await this.#former.list())])];
  }

  async #serving(diffIds: readonly Digest[]): Promise<LayerStore> {
    return (await hasAll(this.#active, diffIds)) ? this.#active : this.#former;
  }
}

async function hasAll(store: LayerStore, diffIds: readonly Digest[]): Promise<boolean> {
  for (const diffId of diffIds) {
    if (!(await store.has(diffId))) {
      return false;
    }
  }
  return true;
}
