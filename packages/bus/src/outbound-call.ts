import { kindOf, RuntimeError } from '@gantry/errors';
import type { Msg } from '@nats-io/transport-node';
import { BodyAssembler, cutBody } from './body.ts';
import { frameCost, ReceiveWindow, SendWindow } from './flow.ts';
import { decodeReply, encodeFrame, encodeRequest, type Frame, type Part } from './frame.ts';
import { hungMs, probeMs, serviceSilenceMs } from './limits.ts';
import type { Link } from './link.ts';
import { instanceOfCall, type ServiceSubjects } from './subjects.ts';

const nothing = new Uint8Array(0);

/** Where the answers of a call go. After `end` or `fail` nothing more comes. */
export interface CallSink {
  /** `cost` counts in the window: the call's `taken` is to be told when it is out of memory. */
  item(body: Uint8Array, cost: number): void;
  /** A part of an item that is not complete. */
  part(cost: number): void;
  end(): void;
  fail(error: RuntimeError): void;
}

export interface OutboundCallOptions {
  readonly link: Link;
  readonly subjects: ServiceSubjects;
  readonly method: string;
  readonly stream: boolean;
  readonly key: string;
  readonly inbox: string;
  readonly maxBodyBytes: number;
  readonly sink: CallSink;
  /** Called once, when the call is over in any way. */
  readonly onOver: () => void;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
}

/**
 * The caller's side of one call.
 *
 *     sent --(answer | end | error)--> over
 *       \--(abort, deadline, silence, instance gone, connection lost)--> over, with a cancel to the handler
 */
export class OutboundCall {
  /** Where the request goes. */
  readonly subject: string;
  readonly #o: OutboundCallOptions;
  readonly #window = new SendWindow();
  readonly #received: ReceiveWindow;
  readonly #assembler: BodyAssembler;
  readonly #onAbort = (): void => {
    this.abandon(abortError(this.#label, this.#o.signal?.reason));
  };
  #timer: NodeJS.Timeout | undefined;
  #heardAt = performance.now();
  #probedAt = this.#heardAt;
  /** The subject on which the serving instance hears of this call; known from its first frame. */
  #address: string | undefined;
  #unsent: Iterator<{ part: Part; bytes: Uint8Array }> | undefined;
  #over = false;

  constructor(options: OutboundCallOptions) {
    this.#o = options;
    this.subject = options.subjects.request(options.method);
    this.#assembler = new BodyAssembler(options.maxBodyBytes);
    this.#received = new ReceiveWindow((bytes) => {
      this.#tell({ type: 'ack', bytes });
    });
  }

  get #label(): string {
    return `${this.#o.method} at ${this.#o.subjects.root}`;
  }

  /** Sends the request. A throw means that nothing was sent. */
  send(body: Uint8Array, carrier: Record<string, string>): void {
    const { link, inbox, stream, timeoutMs, signal } = this.#o;
    let first = body;
    let part: Part | undefined;
    if (body.length > link.partBytes) {
      this.#unsent = cutBody(body, link.partBytes);
      const next = this.#unsent.next();
      if (!next.done) {
        first = next.value.bytes;
        part = next.value.part;
      }
    }
    link.publish(this.subject, first, encodeRequest({ stream, part, timeoutMs, carrier }), inbox);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(() => {
        this.abandon(new RuntimeError('deadline-exceeded', `${this.#label}: no answer in time`));
      }, timeoutMs);
    }
  }

  /** A message came to this call's inbox. */
  receive(msg: Msg): void {
    this.#heardAt = performance.now();
    const frame = decodeReply(msg);
    // Every frame but a whole answer says where its sender hears of this call.
    if (this.#address === undefined && frame.type !== 'nobody') {
      const address = msg.reply;
      if (instanceOfCall(this.#o.subjects, this.#o.key, address) !== undefined) {
        this.#address = address;
      }
    }
    this.#onFrame(frame, msg);
  }

  #onFrame(frame: Frame, msg: Msg): void {
    switch (frame.type) {
      case 'answer':
      case 'item':
        this.#onBody(frame.type, frame.part, msg.data);
        return;
      case 'beat':
        this.#tell({ type: 'keep' });
        return;
      case 'accept':
        void this.#sendRest();
        return;
      case 'ack':
        this.#window.ack(frame.bytes);
        return;
      case 'end':
        this.#onEnd();
        return;
      case 'error':
        this.#fail(frame.error as RuntimeError);
        return;
      case 'nobody':
        this.#fail(new RuntimeError('unavailable', `${this.#label}: ${this.#absence}`));
        return;
      default:
        this.abandon(new RuntimeError('internal', `${this.#label}: malformed answer`));
    }
  }

  /** Why nobody listens: at the service's own subject, or, once an instance had the call, at that one's. */
  get #absence(): string {
    return this.#address === undefined
      ? 'no instance is running'
      : 'the service ended while it worked';
  }

  /** The sink's owner has taken this much out of memory. */
  taken(cost: number): void {
    this.#received.take(cost);
  }

  /** Ends the call from this side: the sink is told why, the handler to stop. */
  abandon(error: RuntimeError): void {
    if (!this.#over) {
      this.#tellCancel();
      this.#fail(error);
    }
  }

  /** The consumer wants no more: the handler is told to stop, the sink nothing. */
  cancel(): void {
    if (!this.#over) {
      this.#tellCancel();
      this.#finish();
    }
  }

  /** Looks for silence. `lateMs` is how long this process itself was away. */
  tick(now: number, lateMs: number): void {
    this.#heardAt += lateMs;
    if (now - this.#heardAt > (this.#address === undefined ? serviceSilenceMs : hungMs)) {
      this.abandon(
        new RuntimeError('unavailable', `${this.#label}: the service fell silent while it worked`),
      );
    } else if (now - Math.max(this.#heardAt, this.#probedAt) >= probeMs) {
      this.#probedAt = now;
      this.#probe();
    }
  }

  /**
   * A process that was killed has no connection any more: the server answers for it at once. One that hangs or is
   * paused keeps its connection, so that nothing comes back, and only a long silence tells.
   */
  #probe(): void {
    if (this.#address !== undefined) {
      this.#o.link.tell(this.#address, nothing, encodeFrame({ type: 'keep' }), this.#o.inbox);
    }
  }

  #onBody(type: 'answer' | 'item', part: Part | undefined, bytes: Uint8Array): void {
    if ((type === 'item') !== this.#o.stream) {
      this.abandon(new RuntimeError('internal', `${this.#label}: an answer of the wrong kind`));
      return;
    }
    let body: Uint8Array | undefined = bytes;
    try {
      this.#received.arrive(frameCost(bytes));
      if (part !== undefined) {
        body = this.#assembler.add(part, bytes);
      }
    } catch (error) {
      this.abandon(wrap(this.#label, error));
      return;
    }
    if (body === undefined) {
      this.#o.sink.part(frameCost(bytes));
      return;
    }
    if (type === 'answer') {
      this.#finish();
    }
    this.#o.sink.item(body, frameCost(bytes));
  }

  #onEnd(): void {
    if (this.#o.stream && this.#assembler.pendingBytes === 0) {
      this.#finish();
      this.#o.sink.end();
    } else {
      this.abandon(new RuntimeError('internal', `${this.#label}: an end without an answer`));
    }
  }

  async #sendRest(): Promise<void> {
    const unsent = this.#unsent;
    const address = this.#address;
    this.#unsent = undefined;
    if (unsent === undefined || address === undefined) {
      return;
    }
    try {
      for (let next = unsent.next(); !next.done; next = unsent.next()) {
        const { part, bytes } = next.value;
        if (!(await this.#window.reserve(frameCost(bytes)))) {
          return;
        }
        this.#o.link.publish(address, bytes, encodeFrame({ type: 'part', part }));
      }
    } catch (error) {
      this.abandon(wrap(this.#label, error));
    }
  }

  #tell(frame: Frame): void {
    if (this.#address !== undefined) {
      this.#o.link.tell(this.#address, nothing, encodeFrame(frame));
    }
  }

  #tellCancel(): void {
    // Until the instance is known each of them is told; it follows the request on its way.
    const address = this.#address ?? this.#o.subjects.call('all', this.#o.key);
    this.#o.link.tell(address, nothing, encodeFrame({ type: 'cancel' }));
  }

  #fail(error: RuntimeError): void {
    if (!this.#over) {
      this.#finish();
      this.#o.sink.fail(error);
    }
  }

  #finish(): void {
    this.#over = true;
    this.#window.close();
    this.#unsent = undefined;
    clearTimeout(this.#timer);
    this.#o.signal?.removeEventListener('abort', this.#onAbort);
    this.#o.onOver();
  }
}

/** What a call rejects with when its own signal aborts. */
export function abortError(what: string, reason: unknown): RuntimeError {
  const kind = kindOf(reason);
  return new RuntimeError(kind === 'internal' ? 'canceled' : kind, what, { cause: reason });
}

function wrap(what: string, cause: unknown): RuntimeError {
  return new RuntimeError(kindOf(cause), what, { cause });
}
