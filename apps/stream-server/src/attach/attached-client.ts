import { Writable } from 'node:stream';
import { RuntimeError } from '@gantry/errors';
import type { Attached } from '../ports.ts';

/** How far one may fall behind before it is let go: the others and the log do not wait for it. */
export const maxBehindBytes = 16 << 20;

export interface AttachOutputs {
  readonly stdout?: Writable | undefined;
  readonly stderr?: Writable | undefined;
}

/** What a client needs of its hub. */
export interface HubSide {
  /** Resolves when there is room for more. */
  write(chunk: Buffer): Promise<void>;
  /** Whether the client's end of input was that of the container. */
  endInput(): boolean;
  left(): void;
}

/** One who is attached, as its hub sees it. */
export class AttachedClient implements Attached {
  readonly stdin: Writable;
  readonly ended: Promise<void>;
  readonly #outputs: AttachOutputs;
  readonly #hub: HubSide;
  readonly #settle: { resolve: () => void; reject: (error: Error) => void };
  #isIn = true;

  constructor(outputs: AttachOutputs, hub: HubSide) {
    this.#outputs = outputs;
    this.#hub = hub;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#settle = { resolve, reject };
    promise.catch(() => undefined);
    this.stdin = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        hub.write(chunk).then(() => {
          done();
        }, done);
      },
      final: (done) => {
        this.#inputEnded();
        done();
      },
    });
    this.stdin.on('error', () => undefined);
  }

  /** Hands over a piece of output. */
  take(name: keyof AttachOutputs, data: Buffer): void {
    const output = this.#outputs[name];
    if (output === undefined || output.destroyed) {
      return;
    }
    output.write(data);
    if (output.writableLength > maxBehindBytes) {
      const message = `detached: the client is ${String(maxBehindBytes >> 20)} MiB behind the container's output`;
      this.#settle.reject(new RuntimeError('resource-exhausted', message));
      this.leave();
    }
  }

  /** The container has ended. */
  end(): void {
    this.#isIn = false;
    this.#settle.resolve();
  }

  leave(): void {
    if (this.#isIn) {
      this.#isIn = false;
      this.#settle.resolve();
      this.#hub.left();
    }
  }

  #inputEnded(): void {
    if (!this.#hub.endInput()) {
      this.leave();
    }
  }
}
