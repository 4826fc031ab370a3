import { rm } from 'node:fs/promises';
import { isKind, RuntimeError } from '@gantry/errors';
import type { Paths } from '../paths.ts';
import type { PreparedRoot } from '../ports.ts';
import { openCheckpoint } from './open-checkpoint.ts';

/**
 * The root of a container that is made of a checkpoint: that of the image of
 * then, by id or else by name, with what had been written to it.
 */
export async function restoredRoot(
  paths: Pick<Paths, 'checkpoint'>,
  id: string,
  archive: string,
  prepare: (image: string) => Promise<PreparedRoot>,
  signal: AbortSignal,
): Promise<PreparedRoot> {
  const checkpoint = await openCheckpoint(paths, id, archive, { signal });
  for (const image of checkpoint.images) {
    try {
      const root = await prepare(image);
      await checkpoint.restoreRoot(root.upperDir, { signal });
      return root;
    } catch (error) {
      if (!isKind(error, 'not-found')) {
        throw error;
      }
    }
  }
  throw new RuntimeError(
    'not-found',
    `checkpoint ${archive}: its image is not on this node: pull ${checkpoint.images.at(-1) ?? 'it'} first`,
  );
}

/** Removes what a container is, or was, to be restored from; idempotent. */
export async function removeCheckpoint(
  paths: Pick<Paths, 'checkpoint'>,
  id: string,
): Promise<void> {
  await rm(paths.checkpoint(id), { recursive: true, force: true });
}
