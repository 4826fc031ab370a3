import { type LayerInProgress, LayerState, type PullInProgress } from '@gantry/proto';
import { humanSize } from './size.ts';

const barWidth = 24;

/** A pull that is under way, one line for each layer: short digest, bar, how much of how much. */
export function pullLines(pull: PullInProgress): string[] {
  return [...pull.layers.map(layerLine), ...passedOverLines(pull)];
}

/** The hosts that a pull has passed over, and why. */
export function passedOverLines({ passedOver }: PullInProgress): string[] {
  return passedOver.map((host) => `passed over ${host}`);
}

function layerLine({ digest, size, received, state }: LayerInProgress): string {
  const name = digest.replace(/^sha\d+:/, '').slice(0, 12);
  if (state === LayerState.LAYER_PRESENT) {
    return `${name}  ${'present'.padEnd(barWidth + 2)}  ${humanSize(size)}`;
  }
  if (state === LayerState.LAYER_WAITING) {
    return `${name}  ${'waiting'.padEnd(barWidth + 2)}  ${humanSize(size)}`;
  }
  const part = size > 0n ? Math.min(1, Number(received) / Number(size)) : 0;
  const bar = '='.repeat(Math.floor(part * barWidth)).padEnd(barWidth);
  return `${name}  [${bar}]  ${humanSize(received)} of ${humanSize(size)}`;
}

/** All of a pull in a few words: how many layers are there, and how many bytes have come. */
export function pullSummary({ layers }: PullInProgress): {
  readonly layers: string;
  readonly bytes: string;
} {
  if (layers.length === 0) {
    return { layers: 'asking the registry', bytes: '' };
  }
  const present = layers.filter((layer) => layer.state === LayerState.LAYER_PRESENT).length;
  const sum = (of: (layer: LayerInProgress) => bigint) =>
    humanSize(layers.reduce((total, layer) => total + of(layer), 0n));
  return {
    layers: `${present} of ${layers.length}`,
    bytes: `${sum((layer) => layer.received)} of ${sum((layer) => layer.size)}`,
  };
}
