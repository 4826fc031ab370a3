import { chmodSync, chownSync, mkdirSync, statSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isKind, quote, RuntimeError } from '@gantry/errors';
import type { Digest } from '@gantry/oci';
import type { RootRecord } from '../store/root-records.ts';
import type { TemporarySpace } from '../store/temporary-space.ts';
import { type ImageStore, removeUnusedLayers, settleChain } from './image-store.ts';

interface Deps {
  readonly store: ImageStore;
  readonly temporary: TemporarySpace;
  /** Holds one directory an owner. */
  readonly directory: string;
  readonly pull: (name: string, signal: AbortSignal) => Promise<Digest>;
}

export interface PreparedRoot {
  readonly record: RootRecord;
  /** Topmost first. */
  readonly lowerDirs: readonly string[];
  /** Both empty for a root that nobody writes to. */
  readonly upperDir: string;
  readonly workDir: string;
}

export interface PrepareOptions {
  readonly pullIfMissing: boolean;
  readonly signal: AbortSignal;
  /** Nothing will be written: there is no upper directory. */
  readonly readOnly?: boolean;
  /** How the owner's user namespace shows the ids of the lower directories; empty for as they are. */
  readonly uidMappings?: readonly IdRange[];
  readonly gidMappings?: readonly IdRange[];
}

/** `length` ids from `containerId` on are those from `hostId` on outside. */
export interface IdRange {
  readonly containerId: number;
  readonly hostId: number;
  readonly length: number;
}

const ownerPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** The directories of containers' root file systems. Who mounts them says when they may go. */
export class RootFilesystemStore {
  readonly #deps: Deps;

  private constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Opens the store and removes directories that no record speaks of. */
  static async open(deps: Deps): Promise<RootFilesystemStore> {
    await mkdir(deps.directory, { recursive: true, mode: 0o700 });
    const root = new RootFilesystemStore(deps);
    for (const ownerId of await readdir(deps.directory)) {
      await using lock = deps.store.locks.tryTake('root', ownerId);
      if (lock !== undefined && deps.store.roots.get(ownerId) === undefined) {
        await deps.temporary.discard(join(deps.directory, ownerId));
      }
    }
    return root;
  }

  /** The same answer each time for one owner, whatever becomes of the image's names. */
  async prepare(ownerId: string, image: string, options: PrepareOptions): Promise<PreparedRoot> {
    const { store, directory } = this.#deps;
    checkOwner(ownerId);
    await using _lock = await store.locks.take('root', ownerId, options.signal);
    const record = store.roots.get(ownerId) ?? (await this.#record(ownerId, image, options));
    const lowerDirs = await store.layerStore.lowerOf(record.diffIds);
    if (options.readOnly === true) {
      return { record, lowerDirs, upperDir: '', workDir: '' };
    }
    const own = join(directory, ownerId);
    const [upperDir, workDir] = [join(own, 'upper'), join(own, 'work')];
    // At once and not on the thread pool, which costs more than they do.
    // Mount tables tell every user of the host where it is.
    mkdirSync(own, { recursive: true, mode: 0o700 });
    mkdirSync(workDir, { recursive: true, mode: 0o700 });
    makeUpper(upperDir, lowerDirs[0], options);
    return { record, lowerDirs, upperDir, workDir };
  }

  /** Removes an owner's directories and its hold; unknown owners are a success. */
  async release(ownerId: string): Promise<void> {
    const { store, directory, temporary } = this.#deps;
    checkOwner(ownerId);
    await using _lock = await store.locks.take('root', ownerId);
    const record = store.roots.get(ownerId);
    await temporary.discard(join(directory, ownerId));
    if (record === undefined) {
      return;
    }
    store.roots.remove(ownerId);
    const { id } = record.image;
    await settleChain(store, record.diffIds);
    if (store.images.get(id) === undefined) {
      await removeUnusedLayers(store, record.diffIds);
    }
  }

  list(): readonly string[] {
    return this.#deps.store.roots.owners();
  }

  async #record(ownerId: string, image: string, options: PrepareOptions): Promise<RootRecord> {
    const { store, pull } = this.#deps;
    for (let attempt = 1; ; attempt++) {
      const found = store.images.find(image);
      if (found !== undefined) {
        const config = await store.content.read(found.id);
        if (config === undefined) {
          throw new RuntimeError('internal', `image ${found.id}: its config is gone or damaged`);
        }
        try {
          const diffIds = store.images.layersOf(found.id);
          return store.roots.add({ ownerId, image: found, config, diffIds });
        } catch (error) {
          // Removed since it was found.
          if (!options.pullIfMissing || attempt > 2 || !isKind(error, 'not-found')) {
            throw error;
          }
        }
      }
      if (!options.pullIfMissing) {
        throw new RuntimeError('not-found', `image ${quote(image)}: not on this node`);
      }
      await pull(image, options.signal);
    }
  }
}

/**
 * overlayfs shows the root with the mode and owner of the upper directory: they
 * must be the image's, as the owner's user namespace has them.
 */
function makeUpper(
  upperDir: string,
  lowerDir: string | undefined,
  { uidMappings = [], gidMappings = [] }: PrepareOptions,
): void {
  const made = mkdirSync(upperDir, { recursive: true, mode: 0o755 });
  if (made !== undefined && lowerDir !== undefined) {
    const { uid, gid, mode } = statSync(lowerDir);
    chownSync(upperDir, shifted(uid, uidMappings), shifted(gid, gidMappings));
    chmodSync(upperDir, mode & 0o7777);
  }
}

/** An id that the namespace does not have becomes its root's. */
function shifted(id: number, mappings: readonly IdRange[]): number {
  const range = mappings.find((m) => id >= m.containerId && id - m.containerId < m.length);
  if (range !== undefined) {
    return range.hostId + (id - range.containerId);
  }
  return mappings[0]?.hostId ?? id;
}

function checkOwner(ownerId: string): void {
  if (!ownerPattern.test(ownerId)) {
    throw new RuntimeError(
      'invalid-argument',
      `root of ${JSON.stringify(ownerId)}: malformed owner id`,
    );
  }
}
