import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { messageOf, RuntimeError } from '@gantry/errors';
import { TarReader } from '@gantry/tar';
import type { DiskUsage } from '../ports.ts';
import { buildChain } from './build-chain.ts';
import { keepLayer } from './keep-layer.ts';
import { limitedSink, namingLimit, tarLimits } from './layer-limits.ts';
import { treeUsage } from './tree-usage.ts';
import { kindOfFault, TreeWriter } from './tree-writer.ts';
import {
  type ChunkRing,
  chunkOf,
  type ExtractWork,
  type FromWorker,
  type LayerNotes,
  moveJob,
  type ToWorker,
  type UnpackJob,
} from './unpack-job.ts';
import { unpackStream } from './unpack-stream.ts';
import { WrongBlobError } from './wrong-blob.ts';

/*
 * A worker thread: takes one layer at a time with synchronous file system
 * calls, so that the service's own loop stays free.
 */

parentPort?.on('message', ({ job, port }: { job: UnpackJob; port: MessagePort }) => {
  const answer = (message: FromWorker): void => port.postMessage(message);
  void unpack(job, port)
    .then(
      (done) => answer({ done }),
      (error: unknown) =>
        answer({
          failed: {
            kind: kindOfFault(error),
            message: messageOf(error),
            isWrongBlob: error instanceof WrongBlobError,
          },
        }),
    )
    .finally(() => port.close());
});

async function unpack(job: UnpackJob, port: MessagePort): Promise<DiskUsage> {
  if (!moveJob(job, 'begun')) {
    throw new RuntimeError('canceled', 'unpack was dropped');
  }
  const { work } = job;
  try {
    switch (work.kind) {
      case 'extract':
        return await extract(work, chunksOf(port));
      case 'keep':
        return await keepLayer(work, chunksOf(port));
      case 'build':
        return buildChain(work);
    }
  } catch (cause) {
    if (cause instanceof RuntimeError) {
      throw cause;
    }
    const what =
      work.kind === 'build' ? 'write metadata of the image' : `write layer ${work.layer.diffId}`;
    throw new RuntimeError(kindOfFault(cause), what, { cause });
  }
}

async function extract(work: ExtractWork, chunks: AsyncIterable<Uint8Array>): Promise<DiskUsage> {
  const root = join(work.directory, 'fs');
  mkdirSync(root);
  const writer = new TreeWriter(root);
  try {
    const { layer, limits } = work;
    const reader = new TarReader(limitedSink(writer, layer.diffId, limits), tarLimits(limits));
    const take = (chunk: Buffer): void =>
      namingLimit(layer.diffId, limits, () => reader.push(chunk));
    await unpackStream(layer, chunks, take, limits);
    reader.finish();
    writer.finish();
  } finally {
    writer.close();
  }
  const notes: LayerNotes = { implicit: writer.implicitDirectories() };
  writeFileSync(join(work.directory, 'layer.json'), JSON.stringify(notes));
  return treeUsage(work.directory);
}

async function* chunksOf(port: MessagePort): AsyncGenerator<Uint8Array> {
  const ring = workerData as ChunkRing;
  const queue: ToWorker[] = [];
  let next = 0;
  let wake: (() => void) | undefined;
  port.on('message', (message: ToWorker) => {
    queue.push(message);
    wake?.();
  });
  for (;;) {
    const message = queue.shift();
    if (message === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    } else if ('bytes' in message) {
      yield chunkOf(ring, next).subarray(0, message.bytes);
      next += 1;
      if (message.isLast) {
        return;
      }
      port.postMessage({ taken: true } satisfies FromWorker);
    } else {
      throw new RuntimeError('canceled', 'unpack was stopped');
    }
  }
}
