import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '@gantry/config';
import { messageOf, RuntimeError } from '@gantry/errors';
import { hasCode } from '@gantry/host';
import type { Logger } from '@gantry/telemetry';
import type { Locks } from '../images/locks.ts';
import type { LayerLimits } from '../layers/layer-limits.ts';
import type { UnpackPool } from '../layers/unpack-pool.ts';
import type { LayerStore } from '../ports.ts';
import type { TemporarySpace } from '../store/temporary-space.ts';
import { DirectoryLayerStore } from './directory-layer-store.ts';
import { ErofsLayerStore } from './erofs-layer-store.ts';
import { probeErofs } from './probe-erofs.ts';
import { SucceedingLayerStore } from './succeeding-layer-store.ts';

interface Options {
  readonly wanted: Config['images']['layer_store'];
  /** `root_dir/images`. */
  readonly directory: string;
  /** `state_dir/images`. */
  readonly stateDirectory: string;
  readonly temporary: TemporarySpace;
  readonly pool: UnpackPool;
  readonly locks: Locks;
  readonly limits: LayerLimits;
  readonly log: Pick<Logger, 'warn'>;
}

export interface ChosenLayerStore {
  readonly layerStore: LayerStore;
  /** What the probe said against EROFS; undefined where nothing, or where it was not asked. */
  readonly objection: string | undefined;
}

/**
 * Opens the layer store that the config asks for, or the best that this host
 * can have. What another store has kept here is served from there until its
 * images and containers are gone. Throws `failed-precondition` where `erofs` is
 * asked for and can't be had.
 */
export async function chooseLayerStore(options: Options): Promise<ChosenLayerStore> {
  const { wanted, directory, stateDirectory, log } = options;
  const erofsDirectory = join(directory, 'erofs');
  const openErofs = (): Promise<LayerStore> =>
    ErofsLayerStore.open({
      ...options,
      directory: erofsDirectory,
      mountsDirectory: join(stateDirectory, 'mounts'),
    });
  const openDirectories = (): Promise<LayerStore> => DirectoryLayerStore.open(options);
  const hasErofs = await isFilled(join(erofsDirectory, 'layers'));
  const hasDirectories = await isFilled(join(directory, 'layers'));

  const objection = wanted === 'directories' && !hasErofs ? undefined : await objectionOf(options);
  if (wanted === 'erofs' && objection !== undefined) {
    throw new RuntimeError(
      'failed-precondition',
      `layer_store = "erofs" needs Linux 6.12 and a root_dir that can back EROFS: ${objection}`,
    );
  }
  if (wanted === 'directories' || objection !== undefined) {
    if (objection !== undefined) {
      log.warn(
        { error: objection },
        'layers are kept as directories: EROFS can not be mounted here',
      );
    }
    const active = await openDirectories();
    const isUsable = hasErofs && objection === undefined;
    const layerStore = isUsable ? new SucceedingLayerStore(active, await openErofs()) : active;
    return { layerStore, objection };
  }
  const active = await openErofs();
  const layerStore = hasDirectories
    ? new SucceedingLayerStore(active, await openDirectories())
    : active;
  return { layerStore, objection };
}

/** Why EROFS can't be used here; undefined when it can, or when only a full disk kept us from trying. */
async function objectionOf({ temporary }: Options): Promise<string | undefined> {
  try {
    await probeErofs(temporary);
    return undefined;
  } catch (error) {
    return hasCode(error, 'ENOSPC', 'EDQUOT') ? undefined : messageOf(error);
  }
}

async function isFilled(directory: string): Promise<boolean> {
  try {
    return (await readdir(directory)).length > 0;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return false;
    }
    throw error;
  }
}
