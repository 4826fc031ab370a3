import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, RuntimeError } from '@gantry/errors';
import { TarReader } from '@gantry/tar';
import type { DiskUsage } from '../ports.ts';
import { buildChain } from './build-chain.ts';
import { keepLayer } from './keep-layer.ts';
import { limitedSink, namingLimit, tarLimits } from './layer-limits.ts';
import { treeUsage } from './tree-usage.ts';
import { kindOfFault, TreeWriter } from './tree-writer.ts';
import {
  chunkOf,
  type ExtractWork,
  type Feed,
  type FromWorker,
  type LayerNotes,
  moveJob,
  type SharedMemory,
  type ToWorker,
  type UnpackWork,
} from './unpack-job.ts';
import { unpackStream } from './unpack-stream.ts';
import { WrongBlobError } from './wrong-blob.ts';

/*
 * A worker thread: takes one layer at a time with synchronous file system
 * calls, so that the service's own loop stays free.
 */

const memory = workerData as SharedMemory;
let job: Job | undefined;

/** A job that has been sent, and what has come of its bytes. */
class Job {
  readonly number: number;
  readonly #feed: Feed[] = [];
  #wake: (() => void) | undefined;

  constructor(number: number) {
    this.number = number;
  }

  push(feed: Feed): void {
    this.#feed.push(feed);
    this.#wake?.();
  }

  /** The bytes; tells the main thread of each chunk that has been used, the last one apart. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    for (let next = 0; ; next++) {
      const feed = await this.#next();
      if ('abort' in feed) {
        throw new RuntimeError('canceled', 'unpack was stopped');
      }
      yield chunkOf(memory, next).subarray(0, feed.bytes);
      if (feed.isLast) {
        return;
      }
      answer({ taken: true });
    }
  }

  async #next(): Promise<Feed> {
    for (;;) {
      const feed = this.#feed.shift();
      if (feed !== undefined) {
        return feed;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

parentPort?.on('message', (message: ToWorker) => {
  const { number, work } = message;
  if (work !== undefined) {
    job = new Job(number);
    void unpack(work, job).then(
      (done) => answer({ done }),
      (error: unknown) =>
        answer({
          failed: {
            kind: kindOfFault(error),
            message: messageOf(error),
            isWrongBlob: error instanceof WrongBlobError,
          },
        }),
    );
  }
  if (job?.number === number) {
    job.push(message);
  }
});

function answer(message: FromWorker): void {
  parentPort?.postMessage(message);
}

async function unpack(work: UnpackWork, own: Job): Promise<DiskUsage> {
  if (!moveJob(memory, 'begun')) {
    throw new RuntimeError('canceled', 'unpack was dropped');
  }
  try {
    switch (work.kind) {
      case 'extract':
        return await extract(work, own.chunks());
      case 'keep':
        return await keepLayer(work, own.chunks());
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
