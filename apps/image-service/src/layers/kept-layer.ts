import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { encodeIndex, LayerTreeBuilder } from '@gantry/erofs';
import type { Digest } from '@gantry/oci';
import { TarReader } from '@gantry/tar';
import { type LayerLimits, limitedSink, namingLimit, tarLimits } from './layer-limits.ts';

/*
 * A layer of the EROFS store is a directory of two or three files: the
 * uncompressed tar as it came, the index that says what is in it, and what of
 * its sparse files can't be read from the tar.
 */

export const tarName = 'layer.tar';
export const indexName = 'layer.index';
export const auxiliaryName = 'layer.auxiliary';

/** Of a layer that is here already: what any limit allows. */
const longestHeader = 1 << 30;

/** Reads a tar that streams by and puts the auxiliary file beside it where one is needed. Synchronous. */
export class LayerIndexer implements Disposable {
  readonly #builder: LayerTreeBuilder;
  readonly #reader: TarReader;
  readonly #pushTo: (chunk: Buffer) => void;
  #auxiliary: number | undefined;
  #tarBytes = 0;

  /**
   * `auxiliary` is the path of a file that is made if it is needed. Without
   * limits for a layer that was within them when it came.
   */
  constructor(auxiliary: string, diffId?: Digest, limits?: LayerLimits) {
    this.#builder = new LayerTreeBuilder((chunk, offset) => {
      this.#auxiliary ??= openSync(auxiliary, 'w', 0o600);
      writeAll(this.#auxiliary, chunk, offset);
    });
    if (diffId === undefined || limits === undefined) {
      this.#reader = new TarReader(this.#builder, { maxPaxBytes: longestHeader });
      this.#pushTo = (chunk) => this.#reader.push(chunk);
    } else {
      const sink = limitedSink(this.#builder, diffId, limits);
      this.#reader = new TarReader(sink, tarLimits(limits));
      this.#pushTo = (chunk) => namingLimit(diffId, limits, () => this.#reader.push(chunk));
    }
  }

  push(chunk: Buffer): void {
    this.#tarBytes += chunk.length;
    this.#pushTo(chunk);
  }

  /** Whether the layer needs its auxiliary file. */
  get hasAuxiliary(): boolean {
    return this.#auxiliary !== undefined;
  }

  /** The index of the whole tar; the auxiliary file is complete. */
  finish(): Buffer {
    this.#reader.finish();
    const tree = this.#builder.finish(this.#tarBytes);
    if (this.#auxiliary !== undefined) {
      ftruncateSync(this.#auxiliary, tree.auxiliaryBytes);
    }
    return encodeIndex(tree);
  }

  [Symbol.dispose](): void {
    if (this.#auxiliary !== undefined) {
      closeSync(this.#auxiliary);
    }
  }
}

export function writeAll(fd: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}
