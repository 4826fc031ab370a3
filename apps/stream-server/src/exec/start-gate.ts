import { Transform, type TransformCallback } from 'node:stream';

const pollMs = 10;
const maxHeldBytes = 64 << 10;

/**
 * Lets the error output of a process pass once it runs. What comes before is
 * held back: when the process never runs, it is the runtime that spoke.
 */
export class StartGate extends Transform {
  readonly #isStarted: () => boolean;
  #isOpen = false;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(isStarted: () => boolean) {
    super();
    this.#isStarted = isStarted;
  }

  /** What was held back and never let pass. */
  words(): Buffer {
    return Buffer.concat(this.#held);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (this.#tryOpen()) {
      done(null, chunk);
      return;
    }
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes < maxHeldBytes) {
      done();
      this.#timer ??= setInterval(() => this.#tryOpen(), pollMs);
    } else {
      // A runtime never says as much: whoever does waits until it is known who it is.
      clearInterval(this.#timer);
      this.#timer = setInterval(() => {
        if (this.#tryOpen()) {
          done();
        }
      }, pollMs);
    }
  }

  override _flush(done: TransformCallback): void {
    this.#tryOpen();
    clearInterval(this.#timer);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#timer);
    done(error);
  }

  #tryOpen(): boolean {
    if (!this.#isOpen && this.#isStarted()) {
      this.#isOpen = true;
      clearInterval(this.#timer);
      for (const chunk of this.#held) {
        this.push(chunk);
      }
      this.#held = [];
    }
    return this.#isOpen;
  }
}
