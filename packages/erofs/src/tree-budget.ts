import { RuntimeError } from '@gantry/errors';
import type { TarEntry } from '@gantry/tar';

/** Two million plain entries. */
export const defaultMaxTreeBytes = 512 << 20;
/** What a node takes beside its name, about. */
const nodeBytes = 256;
const runBytes = 16;

/** Counts what a tree keeps of an archive, so that no archive can take all memory. */
export class TreeBudget {
  readonly #max: number;
  #used = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Counts one node. Throws `resource-exhausted` when the tree has become too large. */
  take(bytes: number): void {
    this.#used += nodeBytes + bytes;
    if (this.#used > this.#max) {
      throw new RuntimeError(
        'resource-exhausted',
        `names and attributes of the layer take more than ${this.#max} bytes`,
      );
    }
  }

  takeEntry({ path, linkTarget, xattrs, segments = [] }: TarEntry): void {
    let bytes = path.length + linkTarget.length + segments.length * runBytes;
    for (const [name, value] of xattrs) {
      bytes += name.length + value.length;
    }
    this.take(bytes);
  }
}
