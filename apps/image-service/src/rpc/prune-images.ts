import type { ServiceImpl } from '@gantry/bus';
import type { ImageAdmin } from '@gantry/proto';
import type { ImageStore } from '../images/image-store.ts';
import type { IsPinned } from '../images/pinned.ts';
import { pruneImages as prune } from '../images/prune-images.ts';
import type { PullBoard } from '../images/pull-board.ts';
import { usageMessage } from './image-usage.ts';

interface Deps {
  readonly store: ImageStore;
  readonly isPinned: IsPinned;
  readonly board: Pick<PullBoard, 'list'>;
}

/** Removes what no container uses. */
export function pruneImages({
  store,
  isPinned,
  board,
}: Deps): ServiceImpl<typeof ImageAdmin>['pruneImages'] {
  const deps = { store, isPinned, isPulling: async () => (await board.list()).length > 0 };
  return async ({ dryRun }, { signal }) => {
    const { removed, freedBytes } = await prune(deps, { isDryRun: dryRun, signal });
    return { removed: removed.map(usageMessage), freedBytes: BigInt(freedBytes) };
  };
}
