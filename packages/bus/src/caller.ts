import { RuntimeError } from '@gantry/errors';
import type { Msg } from '@nats-io/transport-node';
import { encodeFrame, encodeRequest } from './frame.ts';
import { type Answer, GatherCall } from './gather.ts';
import { ItemQueue } from './item-queue.ts';
import { disconnectedError, type Link } from './link.ts';
import { abortError, type CallSink, OutboundCall } from './outbound-call.ts';
import { inboxOfKey, inboxPrefix, type ServiceName, serviceSubjects } from './subjects.ts';
import { startClientSpan } from './trace.ts';

/** How one call is made. */
export interface CallOptions {
  /** Ends the call: it rejects with `canceled`, and the handler's signal aborts. */
  readonly signal?: AbortSignal | undefined;
  /** Epoch milliseconds; then the call rejects with `deadline-exceeded`, and the handler's signal aborts. */
  readonly deadlineMs?: number | undefined;
  /** Headers to send along. A `traceparent` in it is the parent where no span is active. */
  readonly carrier?: Readonly<Record<string, string>> | undefined;
}

export interface CallerOptions {
  readonly link: Link;
  readonly node: string;
  readonly service: ServiceName;
  /** Tells this connection's inbox from those of other instances. */
  readonly connection: string;
  readonly maxBodyBytes: number;
  /** For unary calls without a deadline of their own. */
  readonly requestTimeoutMs: number | undefined;
}

interface Request {
  readonly service: ServiceName;
  readonly method: string;
  readonly body: Uint8Array;
  readonly options: CallOptions;
  readonly stream: boolean;
}

/** The asking half of a bus: makes calls, and hands each message of its inbox to its call. */
export class Caller {
  readonly #o: CallerOptions;
  readonly #keyPrefix: string;
  readonly #calls = new Map<string, OutboundCall | GatherCall>();
  readonly #instances = new Map<string, ReadonlySet<string>>();
  #lastCall = 0;
  #closed = false;

  constructor(options: CallerOptions) {
    this.#o = options;
    this.#keyPrefix = `${options.service}.${options.connection}.`;
    const inbox = `${inboxPrefix(options.service)}.${options.connection}.`;
    options.link.subscribe(`${inbox}*`, (msg) => {
      this.#receive(msg, msg.subject.slice(inbox.length));
    });
    options.link.onDown(() => {
      this.#abandonAll('the connection to NATS was lost');
    });
    options.link.onPublishRefused((subject, cause) => {
      for (const call of this.#calls.values()) {
        if (call.subject === subject) {
          call.abandon(new RuntimeError('permission-denied', `ask ${subject}`, { cause }));
        }
      }
    });
  }

  async request(
    service: ServiceName,
    method: string,
    body: Uint8Array,
    options: CallOptions = {},
  ): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const carrier = { ...options.carrier };
    const span = startClientSpan(service, method, carrier);
    const call = this.#open({ service, method, body, options, stream: false }, carrier, {
      item: (answer) => {
        span.end();
        resolve(answer);
      },
      part: (cost) => {
        call?.taken(cost);
      },
      end: () => undefined,
      fail: (error) => {
        span.end(error);
        reject(error);
      },
    });
    return promise;
  }

  async *stream(
    service: ServiceName,
    method: string,
    body: Uint8Array,
    options: CallOptions = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const carrier = { ...options.carrier };
    const span = startClientSpan(service, method, carrier);
    const queue = new ItemQueue((cost) => call?.taken(cost));
    const call = this.#open({ service, method, body, options, stream: true }, carrier, queue);
    let failure: unknown;
    try {
      for (;;) {
        const item = await queue.next();
        if (item === undefined) {
          return;
        }
        yield item;
      }
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      call?.cancel();
      span.end(failure);
    }
  }

  /** Asks every instance of `service`. Rejects with `unavailable` when NATS is away. */
  async gather(
    service: ServiceName,
    method: string,
    body: Uint8Array,
    timeoutMs: number,
  ): Promise<readonly Answer[]> {
    const { link, node, maxBodyBytes } = this.#o;
    const subjects = serviceSubjects(node, service);
    const carrier: Record<string, string> = {};
    const hindrance = this.#hindrance(`${method} at every ${service}`, undefined, undefined);
    if (hindrance !== undefined) {
      throw hindrance;
    }
    if (body.length > link.partBytes) {
      throw new RuntimeError('invalid-argument', `${method}: too large to ask every instance`);
    }
    const { key, token } = this.#nextKey();
    const span = startClientSpan(service, method, carrier);
    const call = new GatherCall({
      link,
      subjects,
      method,
      key,
      maxBodyBytes,
      timeoutMs,
      expected: this.#instances.get(service) ?? new Set(),
      onOver: () => {
        this.#calls.delete(token);
      },
    });
    this.#calls.set(token, call);
    let failure: unknown;
    try {
      const head = { stream: false, part: undefined, timeoutMs, carrier };
      link.publish(call.subject, body, encodeRequest(head), inboxOfKey(key));
      const answers = await call.result;
      this.#instances.set(service, new Set(answers.map((answer) => answer.instance)));
      return answers;
    } catch (error) {
      failure = error;
      call.close();
      throw error;
    } finally {
      span.end(failure);
    }
  }

  #nextKey(): { key: string; token: string } {
    this.#lastCall += 1;
    const token = String(this.#lastCall);
    return { key: this.#keyPrefix + token, token };
  }

  /** Starts a call; what hinders it is told to the sink. */
  #open(
    { service, method, body, options, stream }: Request,
    carrier: Record<string, string>,
    sink: CallSink,
  ): OutboundCall | undefined {
    const { link, node, maxBodyBytes, requestTimeoutMs } = this.#o;
    const subjects = serviceSubjects(node, service);
    const label = `${method} at ${subjects.root}`;
    const timeoutMs =
      options.deadlineMs === undefined
        ? stream
          ? undefined
          : requestTimeoutMs
        : options.deadlineMs - Date.now();
    const hindrance = this.#hindrance(label, timeoutMs, options.signal);
    if (hindrance !== undefined) {
      sink.fail(hindrance);
      return undefined;
    }
    const { key, token } = this.#nextKey();
    const call = new OutboundCall({
      link,
      subjects,
      method,
      stream,
      key,
      inbox: inboxOfKey(key),
      maxBodyBytes,
      sink,
      onOver: () => {
        this.#calls.delete(token);
      },
      signal: options.signal,
      // Longer than a timer can run is no limit.
      timeoutMs: timeoutMs !== undefined && timeoutMs < 2 ** 31 ? timeoutMs : undefined,
    });
    this.#calls.set(token, call);
    try {
      call.send(body, carrier);
    } catch (error) {
      // A header that no header may be comes from the carrier.
      const refusal = new RuntimeError('invalid-argument', label, { cause: error });
      call.abandon(error instanceof RuntimeError ? error : refusal);
    }
    return call;
  }

  #hindrance(
    label: string,
    timeoutMs: number | undefined,
    signal: AbortSignal | undefined,
  ): RuntimeError | undefined {
    if (signal?.aborted) {
      return abortError(label, signal.reason);
    }
    if (timeoutMs !== undefined && timeoutMs <= 0) {
      return new RuntimeError('deadline-exceeded', `${label}: the deadline has passed`);
    }
    return this.#o.link.connected ? undefined : disconnectedError(label, this.#closed);
  }

  #receive(msg: Msg, token: string): void {
    const call = this.#calls.get(token);
    if (call !== undefined) {
      call.receive(msg);
    } else if (/^gantry\.[\w-]+\.\w+\.call\./.test(msg.reply ?? '')) {
      // A handler works on for a call that is over: its cancel was lost.
      this.#o.link.tell(msg.reply ?? '', new Uint8Array(0), encodeFrame({ type: 'cancel' }));
    }
  }

  tick(now: number, lateMs: number): void {
    for (const call of this.#calls.values()) {
      call.tick(now, lateMs);
    }
  }

  close(): void {
    this.#closed = true;
    this.#abandonAll('the bus is closed');
  }

  #abandonAll(why: string): void {
    for (const call of this.#calls.values()) {
      call.abandon(new RuntimeError('unavailable', why));
    }
  }
}
