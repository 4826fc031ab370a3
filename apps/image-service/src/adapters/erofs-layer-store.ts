import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rmdir, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { decodeIndexHeader, indexHeaderBytes } from '@gantry/erofs';
import { RuntimeError } from '@gantry/errors';
import { faultPoint, hasCode, mountErofs, unmount } from '@gantry/host';
import { type Digest, isDigest } from '@gantry/oci';
import type { Locks } from '../images/locks.ts';
import { type ChainDevice, openChain } from '../layers/chain-file.ts';
import { auxiliaryName, indexName, tarName } from '../layers/kept-layer.ts';
import type { LayerLimits } from '../layers/layer-limits.ts';
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
import {
  type TemporaryPath,
  type TemporarySpace,
  unlinkIfThere,
} from '../store/temporary-space.ts';
import { chainKey } from './chain-key.ts';
import { syncTogether } from './sync-together.ts';
import { usageWithin } from './usage-within.ts';

interface Options {
  /** Holds `layers/` and `images/`; on a file system that can back EROFS. */
  readonly directory: string;
  /** Holds one mount point a chain; does not survive a reboot. */
  readonly mountsDirectory: string;
  readonly temporary: TemporarySpace;
  readonly pool: UnpackPool;
  readonly locks: Locks;
  readonly limits: LayerLimits;
}

/** From so many bytes on a layer goes to disk beside the work on others, and not after all of them. */
const largeBytes = 8 << 20;
const erofsMagic = 0xe0f5_e1e2;
const neverAborted = new AbortController().signal;

/**
 * Layers as uncompressed tars with an index, one directory a diff id, and one
 * small file system an image that points into them: nothing is ever extracted.
 * Each chain is mounted once, shared by its containers, found again by the next
 * process, and unmounted when the last of them has gone.
 *
 *   layers/<diff id>/  layer.tar, layer.index, sometimes layer.auxiliary
 *   images/<chain>     metadata, made of the indexes; see chain-file.ts
 */
export class ErofsLayerStore implements LayerStore {
  readonly name = 'erofs';
  readonly #layers: string;
  readonly #images: string;
  readonly #options: Options;

  private constructor(options: Options) {
    this.#options = options;
    this.#layers = join(options.directory, 'layers');
    this.#images = join(options.directory, 'images');
  }

  static async open(options: Options): Promise<ErofsLayerStore> {
    const store = new ErofsLayerStore(options);
    await mkdir(store.#layers, { recursive: true, mode: 0o700 });
    await mkdir(store.#images, { recursive: true, mode: 0o700 });
    await mkdir(options.mountsDirectory, { recursive: true, mode: 0o700 });
    return store;
  }

  async has(diffId: Digest): Promise<boolean> {
    const directory = this.#pathOf(diffId);
    const header = await readHeader(join(directory, indexName));
    if (header === undefined) {
      // An index of another version is made anew from the tar; without any, nothing is known of its length.
      return (
        (await sizeOf(join(directory, indexName))) > 0 &&
        (await sizeOf(join(directory, tarName))) > 0
      );
    }
    const { tarBytes, auxiliaryBytes } = header;
    return (
      (await sizeOf(join(directory, tarName))) === tarBytes &&
      (auxiliaryBytes === 0 || (await sizeOf(join(directory, auxiliaryName))) === auxiliaryBytes)
    );
  }

  async prepareLayer(
    layer: LayerSpec,
    source: AsyncIterable<Uint8Array>,
    { signal }: LayerOptions,
  ): Promise<DiskUsage> {
    const { temporary, pool, limits } = this.#options;
    await using directory = temporary.file();
    const work = { kind: 'keep', layer, directory: directory.path, limits } as const;
    const usage = await pool.run(work, source, signal);
    if (usage.bytes >= largeBytes) {
      await syncData(join(directory.path, tarName));
    }
    signal.throwIfAborted();
    faultPoint('erofs.layer-kept');
    await this.#moveIn(directory, layer.diffId);
    return usage;
  }

  async hasChain(chain: readonly Digest[]): Promise<boolean> {
    const devices = await readChain(this.#imagePath(chainKey(chain)));
    if (devices === undefined) {
      return false;
    }
    const sizes = devices.map(async ({ path, bytes }) => {
      return (await sizeOf(join(this.#layers, path))) === bytes;
    });
    // A layer without a byte of data is no device.
    const shown = new Set(devices.map(({ path }) => dirname(path)));
    const others = chain.filter((diffId) => !shown.has(directoryOf(diffId)));
    const rest = others.map((diffId) => this.has(diffId));
    return (await Promise.all([...sizes, ...rest])).every(Boolean);
  }

  async sync(alongside: string): Promise<void> {
    await syncTogether(this.#layers, alongside);
  }

  async prepareChain(diffIds: readonly Digest[], { signal }: LayerOptions): Promise<void> {
    const key = chainKey(diffIds);
    await using _lock = await this.#options.locks.take('chain', key, signal);
    await this.#chainFile(key, diffIds, signal);
  }

  async lowerOf(diffIds: readonly Digest[]): Promise<readonly string[]> {
    const key = chainKey(diffIds);
    const target = this.#mountPoint(key);
    await using _lock = await this.#options.locks.take('chain', key);
    if (!(await isMounted(target))) {
      const devices = await this.#chainFile(key, diffIds, neverAborted);
      await mkdir(target, { recursive: true, mode: 0o711 });
      await mountErofs(
        { source: this.#imagePath(key), devices: await this.#check(devices) },
        target,
      );
      faultPoint('erofs.mounted');
    }
    return [target];
  }

  async settleChain(diffIds: readonly Digest[], use: () => ChainUse): Promise<void> {
    const key = chainKey(diffIds);
    await using _lock = await this.#options.locks.take('chain', key);
    await this.#settle(key, use());
  }

  async settleChains(use: () => ChainsInUse): Promise<void> {
    const { mountsDirectory, locks } = this.#options;
    const found = [...(await readdir(this.#images)), ...(await readdir(mountsDirectory))];
    for (const key of new Set(found)) {
      await using lock = locks.tryTake('chain', key);
      if (lock !== undefined) {
        const { running, kept } = use();
        const is = (chain: readonly Digest[]): boolean => chainKey(chain) === key;
        await this.#settle(key, running.some(is) ? 'running' : kept.some(is) ? 'kept' : 'unused');
      }
    }
  }

  chainUsage(): Promise<DiskUsage> {
    return usageWithin(this.#images);
  }

  async remove(diffId: Digest): Promise<void> {
    const directory = this.#pathOf(diffId);
    // Without its index it is no layer, whatever is still there.
    await unlinkIfThere(join(directory, indexName));
    await unlinkIfThere(join(directory, tarName));
    try {
      await rmdir(directory);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) {
        // An auxiliary file, what a repair of the index left, or no directory at all.
        await this.#options.temporary.discard(directory);
      }
    }
  }

  async openTar(diffId: Digest): Promise<LayerTar | undefined> {
    if (!(await this.has(diffId))) {
      return undefined;
    }
    const path = join(this.#pathOf(diffId), tarName);
    const read = (signal: AbortSignal): AsyncIterable<Buffer> =>
      createReadStream(path, { highWaterMark: 1 << 20, signal });
    return { isOriginal: true, size: await sizeOf(path), read };
  }

  async list(): Promise<readonly Digest[]> {
    const names = await readdir(this.#layers);
    return names.map((name) => name.replace('-', ':')).filter((name) => isDigest(name));
  }

  /** The caller holds the chain's lock. */
  async #settle(key: string, use: ChainUse): Promise<void> {
    if (use === 'running') {
      return;
    }
    const target = this.#mountPoint(key);
    // Overlays hold what they stand on by themselves; only a stranger in the directory could be in the way.
    await unmount(target, { detach: true });
    faultPoint('erofs.unmounted');
    await rmdir(target).catch((error: unknown) => {
      if (!hasCode(error, 'ENOENT')) {
        throw error;
      }
    });
    if (use === 'unused') {
      await this.#options.temporary.discard(this.#imagePath(key));
    }
  }

  /** The devices of the chain's file, which is made unless it is there and whole. */
  async #chainFile(
    key: string,
    diffIds: readonly Digest[],
    signal: AbortSignal,
  ): Promise<readonly ChainDevice[]> {
    const path = this.#imagePath(key);
    const found = await readChain(path);
    if (found !== undefined) {
      return found;
    }
    const { temporary, pool } = this.#options;
    await using place = temporary.file();
    const layers = diffIds.map((diffId) => ({ diffId, directory: this.#pathOf(diffId) }));
    await pool.run({ kind: 'build', layers, file: place.path }, nothing(), signal);
    faultPoint('erofs.chain-built');
    await place.moveTo(path);
    const built = await readChain(path);
    if (built === undefined) {
      throw new RuntimeError(
        'internal',
        `image metadata ${path}: damaged as soon as it was written`,
      );
    }
    return built;
  }

  /** Paths of devices; each must have the length it had, for what is missing would be read as errors. */
  async #check(devices: readonly ChainDevice[]): Promise<readonly string[]> {
    return Promise.all(
      devices.map(async ({ path, bytes }) => {
        const full = join(this.#layers, path);
        const actual = await sizeOf(full);
        if (actual !== bytes) {
          throw new RuntimeError(
            'internal',
            `layer file ${full}: ${actual} bytes instead of ${bytes}`,
          );
        }
        return full;
      }),
    );
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
    return join(this.#layers, directoryOf(diffId));
  }

  #imagePath(key: string): string {
    return join(this.#images, key);
  }

  #mountPoint(key: string): string {
    return join(this.#options.mountsDirectory, key);
  }
}

function directoryOf(diffId: Digest): string {
  return diffId.replace(':', '-');
}

async function syncData(path: string): Promise<void> {
  await using file = await open(path, 'r');
  await file.datasync();
}

async function isMounted(target: string): Promise<boolean> {
  try {
    return (await statfs(target)).type === erofsMagic;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return false;
    }
    throw error;
  }
}

async function readChain(path: string): Promise<readonly ChainDevice[] | undefined> {
  try {
    return openChain(await readFile(path));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return undefined;
    }
    throw error;
  }
}

async function readHeader(path: string) {
  try {
    await using file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(indexHeaderBytes), 0);
    return decodeIndexHeader(buffer.subarray(0, bytesRead));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return undefined;
    }
    throw error;
  }
}

/** 0 for what is not there. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return 0;
    }
    throw error;
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
