import { RuntimeError } from '@gantry/errors';
import { BodyAssembler, cutBody } from './body.ts';
import { frameCost, ReceiveWindow, SendWindow } from './flow.ts';
import { encodeFrame, type Frame, type Part } from './frame.ts';
import { acceptMs, beatMs, hungMs } from './limits.ts';
import type { Link } from './link.ts';

const nothing = new Uint8Array(0);

/** What a handler may know of the call that it serves. */
export interface CallContext {
  /**
   * Aborts with an AbortError when the caller cancels, dies or can't be
   * reached, and with a TimeoutError at the deadline.
   */
  readonly signal: AbortSignal;
  /** Epoch milliseconds of this host's clock. */
  readonly deadlineMs?: number;
  /** The full method: `runtime.v1.RuntimeService/Version`. */
  readonly method: string;
}

export interface InboundCallOptions {
  readonly link: Link;
  readonly method: string;
  /** Where the caller listens. */
  readonly inbox: string;
  /** Where this instance hears of the call. */
  readonly address: string;
  readonly timeoutMs: number | undefined;
  readonly maxBodyBytes: number;
  /** The caller asked every instance: each answer must say whose it is. */
  readonly every: boolean;
}

/**
 * The handler's side of one call. It beats while the handler works, and aborts
 * the handler when the caller cancels, falls silent or runs out of time.
 */
export class InboundCall implements CallContext {
  readonly method: string;
  readonly deadlineMs?: number;
  readonly #o: InboundCallOptions;
  readonly #controller = new AbortController();
  readonly #window = new SendWindow();
  readonly #received: ReceiveWindow;
  readonly #assembler: BodyAssembler;
  readonly #timer: NodeJS.Timeout | undefined;
  #accepting: NodeJS.Timeout | undefined;
  #sentAt = performance.now();
  #heardAt = this.#sentAt;
  // Nobody listens any more: nothing is sent.
  #gone = false;

  constructor(options: InboundCallOptions) {
    this.#o = options;
    this.method = options.method;
    this.#assembler = new BodyAssembler(options.maxBodyBytes);
    this.#received = new ReceiveWindow((bytes) => {
      this.#send(nothing, { type: 'ack', bytes });
    });
    if (options.timeoutMs !== undefined) {
      this.deadlineMs = Date.now() + options.timeoutMs;
      this.#timer = setTimeout(() => {
        this.#window.close();
        this.#controller.abort(new DOMException('the deadline has passed', 'TimeoutError'));
      }, options.timeoutMs);
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Takes a part of the request; gives the request's body when it is complete. Throws as BodyAssembler. */
  addPart(part: Part, bytes: Uint8Array): Uint8Array | undefined {
    const body = this.#assembler.add(part, bytes);
    this.#received.take(frameCost(bytes));
    return body;
  }

  /** Tells the caller that this instance has the call, and where it hears of it. */
  accept(): void {
    this.#send(nothing, { type: 'accept' });
  }

  /** The same, unless the call is answered in no time: that one message would cost as much as the call. */
  acceptSoon(): void {
    this.#accepting = setTimeout(() => {
      this.accept();
    }, acceptMs);
  }

  /** Hears what the caller says besides parts. */
  control(frame: Frame): void {
    this.#heardAt = performance.now();
    if (frame.type === 'ack') {
      this.#window.ack(frame.bytes);
    } else if (frame.type === 'cancel') {
      this.leave('the caller canceled the call');
    } else if (frame.type === 'nobody') {
      this.leave('the caller is gone');
    }
  }

  /** The caller no longer waits. */
  leave(why: string): void {
    if (!this.#gone) {
      this.#gone = true;
      this.#window.close();
      this.#controller.abort(new DOMException(why, 'AbortError'));
    }
  }

  /** Beats, and looks for a caller that is silent. */
  tick(now: number, lateMs: number): void {
    this.#heardAt += lateMs;
    if (now - this.#heardAt > hungMs) {
      this.leave('the caller hangs');
    } else if (now - this.#sentAt >= beatMs) {
      this.#send(nothing, { type: 'beat' });
    }
  }

  /** Sends an answer or an item, in parts where it must be; waits while the caller takes none. */
  async sendBody(type: 'answer' | 'item', body: Uint8Array): Promise<void> {
    const { partBytes } = this.#o.link;
    if (body.length > partBytes) {
      for (const { part, bytes } of cutBody(body, partBytes)) {
        if (await this.#window.reserve(frameCost(bytes))) {
          this.#send(bytes, { type, part });
        }
      }
    } else if (type === 'answer' || (await this.#window.reserve(frameCost(body)))) {
      this.#send(body, { type, part: undefined });
    }
  }

  sendEnd(): void {
    this.#send(nothing, { type: 'end' });
  }

  sendError(error: unknown): void {
    this.#send(nothing, { type: 'error', error });
  }

  /** The handler is done with. */
  finish(): void {
    this.#gone = true;
    this.#window.close();
    clearTimeout(this.#timer);
    clearTimeout(this.#accepting);
  }

  #send(body: Uint8Array, frame: Frame): void {
    if (this.#gone) {
      return;
    }
    clearTimeout(this.#accepting);
    this.#sentAt = performance.now();
    const headers = encodeFrame(frame);
    // A whole answer to one caller ends the call: no address, one message as short as can be.
    const reply = headers === undefined && !this.#o.every ? undefined : this.#o.address;
    try {
      this.#o.link.publish(this.#o.inbox, body, headers, reply);
    } catch (cause) {
      this.leave('the connection to NATS was lost');
      this.#o.link.report(new RuntimeError('internal', `answer ${this.method}`, { cause }));
    }
  }
}
