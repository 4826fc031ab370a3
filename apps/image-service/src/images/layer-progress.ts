import type { Digest } from '@gantry/oci';

/** How many bytes of each layer have come, of those that are being fetched now. */
export class LayerProgress {
  readonly #received = new Map<Digest, number>();

  /** The same bytes; counts them until the reader is done. */
  async *count(diffId: Digest, source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let received = 0;
    this.#received.set(diffId, 0);
    try {
      for await (const chunk of source) {
        received += chunk.length;
        this.#received.set(diffId, received);
        yield chunk;
      }
    } finally {
      this.#received.delete(diffId);
    }
  }

  /** undefined for a layer that is not being fetched. */
  received(diffId: Digest): number | undefined {
    return this.#received.get(diffId);
  }
}
