import type { ServiceImpl } from '@gantry/bus';
import { type ImageAdmin, LayerState } from '@gantry/proto';
import type { PullBoard } from '../images/pull-board.ts';

const stateOf = {
  waiting: LayerState.LAYER_WAITING,
  fetching: LayerState.LAYER_FETCHING,
  present: LayerState.LAYER_PRESENT,
} as const;

/** The pulls under way on the node, of all instances. */
export function listPulls({
  board,
}: {
  readonly board: Pick<PullBoard, 'list'>;
}): ServiceImpl<typeof ImageAdmin>['listPulls'] {
  return async () => ({
    pulls: (await board.list()).map(({ image, startedAt, instance, layers, passedOver }) => ({
      image,
      instance,
      passedOver: [...passedOver],
      startedAtMs: BigInt(startedAt),
      layers: layers.map(({ digest, size, received, state }) => ({
        digest,
        size: BigInt(size),
        received: BigInt(received),
        state: stateOf[state],
      })),
    })),
  });
}
