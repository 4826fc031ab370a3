import { Transform, type TransformCallback } from 'node:stream';

const maxHeldBytes = 64 << 10;

/**
 * Lets the error output of a process pass once it runs. What comes before is
 * held back: when the process never runs, it is the runtime that spoke.
 */
export class StartGate extends Transform {
  readonly #started: Promise<boolean>;
  #isOpen = false;
  #held: Buffer[] = [];
  #heldBytes = 0;

  /** `started` tells whether the process runs or ran; it never rejects. */
  constructor(started: Promise<boolean>) {
    super();
    this.#started = started.then((isStarted) => {
      if (isStarted && !this.destroyed) {
        this.#open();
      }
      return isStarted;
    });
  }

  /** What was held back and never let pass. */
  words(): Buffer {
    return Buffer.concat(this.#held);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (this.#isOpen) {
      done(null, chunk);
      return;
    }
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes < maxHeldBytes) {
      done();
    } else {
      // A runtime never says as much: whoever does waits until it is known who it is.
      void this.#started.then(() => {
        done();
      });
    }
  }

  override _flush(done: TransformCallback): void {
    void this.#started.then(() => {
      done();
    });
  }

  #open(): void {
    this.#isOpen = true;
    for (const chunk of this.#held) {
      this.push(chunk);
    }
    this.#held = [];
  }
}
