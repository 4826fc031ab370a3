import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DiskUsage } from '../ports.ts';
import { forDenseParts } from './dense-parts.ts';
import { auxiliaryName, indexName, LayerIndexer, tarName, writeAll } from './kept-layer.ts';
import { treeUsage } from './tree-usage.ts';
import type { KeepWork } from './unpack-job.ts';
import { unpackStream } from './unpack-stream.ts';

/** Writes a layer's tar as it streams by, and its index: for a worker thread. */
export async function keepLayer(
  { layer, directory, limits }: KeepWork,
  chunks: AsyncIterable<Uint8Array>,
): Promise<DiskUsage> {
  mkdirSync(directory, { mode: 0o700 });
  const tar = openSync(join(directory, tarName), 'wx', 0o600);
  try {
    using indexer = new LayerIndexer(join(directory, auxiliaryName), layer.diffId, limits);
    let at = 0;
    const take = (chunk: Buffer): void => {
      forDenseParts(chunk, at, (start, end) => {
        writeAll(tar, chunk.subarray(start, end), at + start);
      });
      at += chunk.length;
      indexer.push(chunk);
    };
    await unpackStream(layer, chunks, take, limits);
    // It may end in zeros, which nobody wrote.
    ftruncateSync(tar, at);
    writeFileSync(join(directory, indexName), indexer.finish(), { mode: 0o600 });
  } finally {
    closeSync(tar);
  }
  return treeUsage(directory);
}
