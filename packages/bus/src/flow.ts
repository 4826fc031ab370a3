import { RuntimeError } from '@gantry/errors';
import { frameOverheadBytes, maxPartBytes, windowBytes } from './limits.ts';

/** What a frame with this body counts in the window. Both sides must agree. */
export function frameCost(body: Uint8Array): number {
  return body.length + frameOverheadBytes;
}

/** The sender's side of flow control: how much of a call is under way and not yet taken. */
export class SendWindow {
  #sent = 0;
  #acked = 0;
  #closed = false;
  #wake: (() => void) | undefined;

  /** Waits until a frame may go, then counts it. False when the call is over. One sender only. */
  async reserve(cost: number): Promise<boolean> {
    while (!this.#closed && this.#sent - this.#acked >= windowBytes) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    this.#sent += cost;
    return !this.#closed;
  }

  /** Takes in the sum of what the receiver has taken; a sum that can't be is ignored. */
  ack(bytes: number): void {
    if (bytes > this.#acked && bytes <= this.#sent) {
      this.#acked = bytes;
      this.#wake?.();
    }
  }

  /** Lets go of a waiting sender: the call is over. */
  close(): void {
    this.#closed = true;
    this.#wake?.();
  }
}

/** The receiver's side: says when to tell the sender what was taken. */
export class ReceiveWindow {
  readonly #sendAck: (bytes: number) => void;
  #arrived = 0;
  #taken = 0;
  #acked = 0;

  constructor(sendAck: (bytes: number) => void) {
    this.#sendAck = sendAck;
  }

  /** Counts a frame that came; throws `internal` when the sender goes on without leave. */
  arrive(cost: number): void {
    this.#arrived += cost;
    if (this.#arrived - this.#acked > windowBytes + maxPartBytes + frameOverheadBytes) {
      throw new RuntimeError('internal', 'the sender takes no notice of the window');
    }
  }

  /** Counts what left memory, and tells the sender from time to time. */
  take(cost: number): void {
    this.#taken += cost;
    if (this.#taken - this.#acked >= windowBytes / 4) {
      this.#acked = this.#taken;
      this.#sendAck(this.#taken);
    }
  }
}
