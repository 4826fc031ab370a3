import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { buildImage, type Device, decodeIndex, type LayerTree } from '@gantry/erofs';
import { isKind, RuntimeError } from '@gantry/errors';
import { algorithmOf, type Digest, hexOf } from '@gantry/oci';
import type { DiskUsage } from '../ports.ts';
import { type ChainDevice, sealChain } from './chain-file.ts';
import { auxiliaryName, indexName, LayerIndexer, tarName } from './kept-layer.ts';
import type { BuildWork } from './unpack-job.ts';

/** All indexes of one image together. */
const maxIndexBytes = 1 << 30;
const readBytes = 1 << 20;

/** Writes the chain file of an image: for a worker thread. An index that is damaged is made anew. */
export function buildChain({ layers, file }: BuildWork): DiskUsage {
  let left = maxIndexBytes;
  const trees = layers.map(({ diffId, directory }, place) => {
    const index = readFileSync(join(directory, indexName));
    left -= index.length;
    if (left < 0) {
      const why = `the layers have names and attributes of more than ${maxIndexBytes} bytes`;
      throw new RuntimeError('resource-exhausted', why);
    }
    return decodeOrRepair(index, place, diffId, directory);
  });
  const { bytes, devices } = buildImage(trees);
  const sealed = sealChain(
    bytes,
    devices.map((device) => deviceOf(device, layers, trees)),
  );
  writeFileSync(file, sealed, { flag: 'wx', mode: 0o600 });
  return { bytes: sealed.length, inodes: 1 };
}

function deviceOf(
  { layer, isAuxiliary }: Device,
  layers: BuildWork['layers'],
  trees: readonly LayerTree[],
): ChainDevice {
  const { tarBytes = 0, auxiliaryBytes = 0 } = trees[layer] ?? {};
  const directory = basename(layers[layer]?.directory ?? '');
  return isAuxiliary
    ? { path: join(directory, auxiliaryName), bytes: auxiliaryBytes }
    : { path: join(directory, tarName), bytes: tarBytes };
}

function decodeOrRepair(
  index: Buffer,
  place: number,
  diffId: Digest,
  directory: string,
): LayerTree {
  try {
    return decodeIndex(index, place);
  } catch (error) {
    if (!isKind(error, 'internal')) {
      throw error;
    }
    return decodeIndex(repairIndex(diffId, directory), place);
  }
}

/** Reads the tar again, from its first byte to its last, and checks it against the diff id. */
function repairIndex(diffId: Digest, directory: string): Buffer {
  const tar = openSync(join(directory, tarName), 'r');
  try {
    // Files of other images that are mounted may stand on what is here: it is replaced as a whole.
    const auxiliary = join(directory, `${auxiliaryName}.new`);
    using indexer = new LayerIndexer(auxiliary);
    const hash = createHash(algorithmOf(diffId));
    const buffer = Buffer.alloc(readBytes);
    for (let got = readSync(tar, buffer); got > 0; got = readSync(tar, buffer)) {
      const chunk = buffer.subarray(0, got);
      hash.update(chunk);
      indexer.push(chunk);
    }
    if (hash.digest('hex') !== hexOf(diffId)) {
      throw new RuntimeError(
        'internal',
        `layer ${diffId}: its tar is damaged: pull the image again`,
      );
    }
    const index = indexer.finish();
    if (indexer.hasAuxiliary) {
      renameSync(auxiliary, join(directory, auxiliaryName));
    }
    const temporary = join(directory, `${indexName}.new`);
    writeFileSync(temporary, index, { mode: 0o600 });
    renameSync(temporary, join(directory, indexName));
    return index;
  } finally {
    closeSync(tar);
  }
}
