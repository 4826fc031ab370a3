import type { Config } from '@gantry/config';
import { messageOf, RuntimeError } from '@gantry/errors';
import type { Digest } from '@gantry/oci';
import type { TarEntry, TarLimits, TarSink } from '@gantry/tar';

/** What a layer of a stranger may ask of this node: images.limits of the config. */
export interface LayerLimits {
  readonly maxBytes: number;
  readonly maxRatio: number;
  /** The ratio counts for layers that take more than this on disk. */
  readonly ratioFromBytes: number;
  readonly maxEntries: number;
  readonly maxDepth: number;
  readonly maxHeaderBytes: number;
}

/** Up to this a layer may shrink as much as it likes: it is no attack. */
const defaultRatioFromBytes = 1 << 30;

const slash = 0x2f;

export function layerLimits(limits: Config['images']['limits']): LayerLimits {
  return {
    maxBytes: limits.max_layer_bytes,
    maxRatio: limits.max_layer_ratio,
    ratioFromBytes: defaultRatioFromBytes,
    maxEntries: limits.max_layer_entries,
    maxDepth: limits.max_layer_depth,
    maxHeaderBytes: limits.max_header_bytes,
  };
}

/** A limit was met: says of which layer, and by which key it is set. */
export function beyondLimit(diffId: Digest, what: string, key: string): RuntimeError {
  const message = `layer ${diffId}: ${what}: the limit is images.limits.${key}`;
  return new RuntimeError('resource-exhausted', message);
}

/** How far a layer has come. */
export interface LayerSize {
  /** Uncompressed. */
  readonly raw: number;
  /** Of these, what takes disk: blocks of zeros do not. */
  readonly dense: number;
  /** As they came. */
  readonly received: number;
}

/** Throws when a layer has become larger than it may. */
export function checkSize(
  diffId: Digest,
  { maxBytes, maxRatio, ratioFromBytes }: LayerLimits,
  { raw, dense, received }: LayerSize,
): void {
  if (raw > maxBytes) {
    throw beyondLimit(diffId, `more than ${maxBytes} bytes when uncompressed`, 'max_layer_bytes');
  }
  if (dense > ratioFromBytes && dense > received * maxRatio) {
    const what = `${dense} bytes when uncompressed, zeros apart, of ${received}: more than ${maxRatio} times as many`;
    throw beyondLimit(diffId, what, 'max_layer_ratio');
  }
}

/** The same sink, which is told of no more entries, and no deeper ones, than a layer may have. */
export function limitedSink(sink: TarSink, diffId: Digest, limits: LayerLimits): TarSink {
  let entries = 0;
  return {
    entry: (entry) => {
      entries += 1;
      if (entries > limits.maxEntries) {
        throw beyondLimit(diffId, `more than ${limits.maxEntries} entries`, 'max_layer_entries');
      }
      if (depthOf(entry) > limits.maxDepth) {
        const what = `a path of more than ${limits.maxDepth} directories`;
        throw beyondLimit(diffId, what, 'max_layer_depth');
      }
      sink.entry(entry);
    },
    data: (chunk, offset) => sink.data(chunk, offset),
    end: () => sink.end(),
  };
}

function depthOf({ path }: TarEntry): number {
  let depth = 0;
  for (let at = path.indexOf(slash); at !== -1; at = path.indexOf(slash, at + 1)) {
    depth += 1;
  }
  return depth;
}

/** What the reader of the tar itself looks after. */
export function tarLimits({ maxEntries, maxHeaderBytes }: LayerLimits): Partial<TarLimits> {
  // It counts headers that belong to an entry as well.
  return { maxPaxBytes: maxHeaderBytes, maxEntries: maxEntries * 4 };
}

/** Where the reader of the tar met such a limit, says by which key it is set. */
export function namingLimit<T>(diffId: Digest, { maxHeaderBytes }: LayerLimits, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (messageOf(error).endsWith(`bytes, more than ${maxHeaderBytes}`)) {
      throw beyondLimit(diffId, messageOf(error), 'max_header_bytes');
    }
    throw error;
  }
}
