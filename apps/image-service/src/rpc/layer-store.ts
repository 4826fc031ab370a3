import type { ServiceImpl } from '@gantry/bus';
import type { ImageAdmin } from '@gantry/proto';

interface Deps {
  readonly wanted: string;
  readonly layerStoreName: string;
  /** What the probe said against EROFS; undefined where nothing, or where it was not asked. */
  readonly objection: string | undefined;
}

/** How layers are kept on this node, and why so. */
export function layerStore(deps: Deps): ServiceImpl<typeof ImageAdmin>['layerStore'] {
  return () =>
    Promise.resolve({
      name: deps.layerStoreName,
      wanted: deps.wanted,
      objection: deps.objection ?? '',
    });
}
