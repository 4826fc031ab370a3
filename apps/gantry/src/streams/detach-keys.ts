import { Transform, type TransformCallback } from 'node:stream';

const [first, second] = [0x10, 0x11]; // Ctrl-P, Ctrl-Q

/** Passes what is typed on, and calls back at Ctrl-P Ctrl-Q. A Ctrl-P waits for the key after it. */
export class DetachKeys extends Transform {
  readonly #onDetach: () => void;
  #isHeld = false;

  constructor(onDetach: () => void) {
    super();
    this.#onDetach = onDetach;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const passed: number[] = [];
    for (const key of chunk) {
      if (this.#isHeld && key === second) {
        this.#isHeld = false;
        this.#onDetach();
        done(null, Buffer.from(passed));
        return;
      }
      if (this.#isHeld) {
        passed.push(first);
      }
      this.#isHeld = key === first;
      if (!this.#isHeld) {
        passed.push(key);
      }
    }
    done(null, Buffer.from(passed));
  }

  override _flush(done: TransformCallback): void {
    done(null, this.#isHeld ? Buffer.of(first) : undefined);
  }
}
