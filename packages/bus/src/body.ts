import { RuntimeError } from '@gantry/errors';
import type { Part } from './frame.ts';
import { minPartBytes } from './limits.ts';

/** Cuts a body into parts of at most `partBytes`, without a copy. */
export function* cutBody(
  body: Uint8Array,
  partBytes: number,
): Generator<{ part: Part; bytes: Uint8Array }> {
  const count = Math.ceil(body.length / partBytes);
  for (let index = 1; index <= count; index++) {
    yield {
      part: { index, count, totalBytes: body.length },
      bytes: body.subarray((index - 1) * partBytes, index * partBytes),
    };
  }
}

/**
 * Puts bodies together from their parts. Memory grows with the bytes that did
 * arrive, never with the total that a peer names.
 */
export class BodyAssembler {
  readonly #maxBytes: number;
  #parts: Uint8Array[] = [];
  #receivedBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of a body whose last part is still to come. */
  get pendingBytes(): number {
    return this.#receivedBytes;
  }

  /**
   * Takes one part and gives the body when it was the last. Throws
   * `resource-exhausted` above the limit and `internal` for a part out of
   * order; the call is then to be ended.
   */
  add(part: Part, bytes: Uint8Array): Uint8Array | undefined {
    if (part.totalBytes > this.#maxBytes) {
      throw new RuntimeError(
        'resource-exhausted',
        `a body of ${part.totalBytes} bytes is above the limit of ${this.#maxBytes}`,
      );
    }
    this.#receivedBytes += bytes.length;
    const inOrder = part.index === this.#parts.length + 1 && bytes.length > 0;
    const complete = part.index === part.count;
    const fits = complete
      ? this.#receivedBytes === part.totalBytes
      : this.#receivedBytes < part.totalBytes && bytes.length >= minPartBytes;
    if (!inOrder || !fits) {
      this.#reset();
      throw new RuntimeError('internal', `part ${part.index} of ${part.count} is out of order`);
    }
    this.#parts.push(bytes);
    if (!complete) {
      return undefined;
    }
    const body = Buffer.concat(this.#parts, part.totalBytes);
    this.#reset();
    return body;
  }

  #reset(): void {
    this.#parts = [];
    this.#receivedBytes = 0;
  }
}
