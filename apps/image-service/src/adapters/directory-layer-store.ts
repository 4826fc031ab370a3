import { access, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '@gantry/host';
import { type Digest, isDigest } from '@gantry/oci';
import { packTree } from '../export/pack-tree.ts';
import type { LayerLimits } from '../layers/layer-limits.ts';
import { readChainLayer, repairsOf, writeRepairs } from '../layers/merged-directories.ts';
import type { UnpackPool } from '../layers/unpack-pool.ts';
import type {
  ChainsInUse,
  ChainUse,
  DiskUsage,
  LayerOptions,
  LayerSpec,
  LayerStore,
  LayerTar,
} from '../ports.ts';
import type { TemporaryPath, TemporarySpace } from '../store/temporary-space.ts';
import { chainKey } from './chain-key.ts';
import { syncTogether } from './sync-together.ts';
import { usageWithin } from './usage-within.ts';

interface Options {
  /** Holds `layers/` and `merged/`. */
  readonly directory: string;
  readonly temporary: TemporarySpace;
  readonly pool: UnpackPool;
  /** No layer may become larger when it is uncompressed. */
  readonly limits: LayerLimits;
}

/**
 * Layers as extracted directories, one a diff id, shared by all images: what
 * every kernel with overlayfs can do. `layers/<diff id>/fs` is the lower
 * directory; `merged/<chain>` holds directories whose attributes need repair.
 */
export class DirectoryLayerStore implements LayerStore {
  readonly name = 'directories';
  readonly #layers: string;
  readonly #merged: string;
  readonly #options: Options;

  private constructor(options: Options) {
    this.#options = options;
    this.#layers = join(options.directory, 'layers');
    this.#merged = join(options.directory, 'merged');
  }

  static async open(options: Options): Promise<DirectoryLayerStore> {
    const store = new DirectoryLayerStore(options);
    await mkdir(store.#layers, { recursive: true, mode: 0o700 });
    await mkdir(store.#merged, { recursive: true, mode: 0o700 });
    return store;
  }

  async has(diffId: Digest): Promise<boolean> {
    return exists(this.#pathOf(diffId));
  }

  async prepareLayer(
    layer: LayerSpec,
    source: AsyncIterable<Uint8Array>,
    { signal }: LayerOptions,
  ): Promise<DiskUsage> {
    const { temporary, pool, limits } = this.#options;
    await using directory = temporary.directoryApart();
    const work = { kind: 'extract', layer, directory: directory.path, limits } as const;
    const usage = await pool.run(work, source, signal);
    signal.throwIfAborted();
    await this.#moveIn(directory, layer.diffId);
    return usage;
  }

  async hasChain(chain: readonly Digest[]): Promise<boolean> {
    return (await Promise.all(chain.map((diffId) => this.has(diffId)))).every(Boolean);
  }

  async sync(alongside: string): Promise<void> {
    await syncTogether(this.#layers, alongside);
  }

  async lowerOf(diffIds: readonly Digest[]): Promise<readonly string[]> {
    // A layer that comes twice shows only its upper occurrence; overlayfs takes no directory twice.
    const chain = [...new Set([...diffIds].reverse())];
    const directories = chain.map((diffId) => join(this.#pathOf(diffId), 'fs'));
    const merged = this.#mergedPath(diffIds);
    if (!(await exists(join(merged, 'done')))) {
      await this.#merge(chain, merged);
    }
    const repaired = join(merged, 'fs');
    return (await exists(repaired)) ? [repaired, ...directories] : directories;
  }

  /** Nothing: what `lowerOf` makes is small, and few chains need any. */
  prepareChain(): Promise<void> {
    return Promise.resolve();
  }

  async settleChain(diffIds: readonly Digest[], use: () => ChainUse): Promise<void> {
    if (use() === 'unused') {
      await this.#options.temporary.discard(this.#mergedPath(diffIds));
    }
  }

  async settleChains(use: () => ChainsInUse): Promise<void> {
    // Listed first: who had one made by now is in use() already.
    const found = await readdir(this.#merged);
    const { running, kept } = use();
    const known = new Set([...running, ...kept].map(chainKey));
    for (const key of found) {
      if (!known.has(key)) {
        await this.#options.temporary.discard(join(this.#merged, key));
      }
    }
  }

  chainUsage(): Promise<DiskUsage> {
    return usageWithin(this.#merged);
  }

  async remove(diffId: Digest): Promise<void> {
    await this.#options.temporary.discard(this.#pathOf(diffId));
  }

  async openTar(diffId: Digest): Promise<LayerTar | undefined> {
    if (!(await this.has(diffId))) {
      return undefined;
    }
    const { root, implicit } = await readChainLayer(this.#pathOf(diffId));
    return { isOriginal: false, read: (signal) => packTree(root, implicit, signal) };
  }

  async list(): Promise<readonly Digest[]> {
    const names = await readdir(this.#layers);
    return names.map((name) => name.replace('-', ':')).filter((name) => isDigest(name));
  }

  async #merge(chain: readonly Digest[], merged: string): Promise<void> {
    const layers = await Promise.all(chain.map((diffId) => readChainLayer(this.#pathOf(diffId))));
    const repairs = repairsOf(layers);
    await using directory = await this.#options.temporary.directory();
    if (repairs.size > 0) {
      await mkdir(join(directory.path, 'fs'), { mode: 0o755 });
      await writeRepairs(join(directory.path, 'fs'), repairs);
    }
    await mkdir(join(directory.path, 'done'));
    try {
      await directory.moveTo(merged);
    } catch (error) {
      // Another replica was quicker; it made the same.
      if (!hasCode(error, 'ENOTEMPTY', 'EEXIST')) {
        throw error;
      }
    }
  }

  async #moveIn(directory: TemporaryPath, diffId: Digest): Promise<void> {
    try {
      await directory.moveTo(this.#pathOf(diffId));
    } catch (error) {
      if (!hasCode(error, 'ENOTEMPTY', 'EEXIST')) {
        throw error;
      }
      // Without a record, or not whole: nobody stands on it.
      await this.remove(diffId);
      await directory.moveTo(this.#pathOf(diffId));
    }
  }

  #pathOf(diffId: Digest): string {
    return join(this.#layers, diffId.replace(':', '-'));
  }

  #mergedPath(diffIds: readonly Digest[]): string {
    return join(this.#merged, chainKey(diffIds));
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return false;
    }
    throw error;
  }
}
