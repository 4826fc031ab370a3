import type { Ping } from './frames.ts';
import type { SpdyError } from './spdy-error.ts';

/** The pings that this side sent and waits for. */
export class PingBook {
  readonly #waiting = new Map<number, PromiseWithResolvers<number> & { sentAt: number }>();
  readonly #send: (frame: Ping) => void;
  #nextId: number;

  /** Ids go on in steps of two from `firstId`. */
  constructor(firstId: number, send: (frame: Ping) => void) {
    this.#nextId = firstId;
    this.#send = send;
  }

  ping(): Promise<number> {
    const id = this.#nextId;
    this.#nextId = id + 2 > 0x7fffffff ? (id % 2 === 1 ? 1 : 2) : id + 2;
    const waiter = { ...Promise.withResolvers<number>(), sentAt: performance.now() };
    this.#waiting.set(id, waiter);
    this.#send({ type: 'ping', id });
    return waiter.promise;
  }

  answered(id: number): void {
    const waiter = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiter?.resolve(performance.now() - waiter.sentAt);
  }

  fail(error: SpdyError): void {
    for (const waiter of this.#waiting.values()) {
      waiter.reject(error);
    }
    this.#waiting.clear();
  }
}
