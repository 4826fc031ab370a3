import { RuntimeError } from '@gantry/errors';
import type { Msg } from '@nats-io/transport-node';
import { context } from '@opentelemetry/api';
import { answerDiscovery, EndpointStats } from './discovery.ts';
import { decodeControl, decodeRequest, encodeFrame, type RequestHead } from './frame.ts';
import { type RawHandler, type RawHandlers, runHandler } from './handler.ts';
import { InboundCall } from './inbound-call.ts';
import type { Link, LinkSubscription } from './link.ts';
import {
  checkToken,
  inboxOfKey,
  keyOfInbox,
  methodToken,
  type ServiceName,
  type ServiceSubjects,
  serviceSubjects,
} from './subjects.ts';
import { startServerSpan } from './trace.ts';

export interface ResponderOptions {
  readonly link: Link;
  readonly node: string;
  readonly service: ServiceName;
  readonly instance: string;
  readonly version: string;
  readonly maxBodyBytes: number;
}

interface Endpoint {
  readonly method: string;
  readonly handler: RawHandler;
  readonly stats: EndpointStats;
}

interface Active {
  readonly call: InboundCall;
  readonly endpoint: Endpoint;
  readonly head: RequestHead;
  /** True while parts of the request are still to come. */
  collecting: boolean;
}

/** The answering half of a bus: takes requests of its service and runs their handlers. */
export class Responder {
  readonly #o: ResponderOptions;
  readonly #subjects: ServiceSubjects;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #calls = new Map<string, Active>();
  readonly #settled = new Set<() => void>();
  #intake: LinkSubscription[] = [];
  #others: LinkSubscription[] = [];
  #refusal: Error | undefined;
  readonly #registrations = new Map<object, readonly string[]>();
  #removing: Promise<void> = Promise.resolve();

  constructor(options: ResponderOptions) {
    this.#o = options;
    this.#subjects = serviceSubjects(options.node, options.service);
    options.link.onDown(() => {
      for (const [key, { call, collecting }] of this.#calls) {
        call.leave('the connection to NATS was lost');
        if (collecting) {
          this.#forget(key);
        }
      }
    });
  }

  /**
   * Offers `handlers` until the result is disposed of, which waits for the calls
   * in flight. Rejects with `already-exists` for a method that is offered
   * already, and with `permission-denied` when the server refuses the subjects.
   */
  async serve(handlers: RawHandlers): Promise<AsyncDisposable> {
    await this.#removing;
    const registration = {};
    this.#registrations.set(registration, this.#add(handlers));
    if (this.#intake.length === 0) {
      this.#subscribe();
    }
    await this.#o.link.flush();
    if (this.#refusal !== undefined) {
      const cause = this.#refusal;
      await this.#remove(registration);
      throw new RuntimeError('permission-denied', `serve ${this.#subjects.root}`, { cause });
    }
    return { [Symbol.asyncDispose]: () => this.#remove(registration) };
  }

  /** Stops serving everything and waits for the calls in flight. */
  async drain(): Promise<void> {
    await Promise.all([...this.#registrations.keys()].map((key) => this.#remove(key)));
    await this.#removing;
  }

  tick(now: number, lateMs: number): void {
    for (const [key, { call, collecting }] of this.#calls) {
      call.tick(now, lateMs);
      if (collecting && call.signal.aborted) {
        this.#forget(key);
      }
    }
  }

  #add(handlers: RawHandlers): string[] {
    const tokens = [...handlers.keys()].map((method) =>
      checkToken(methodToken(method), `method ${method}`),
    );
    for (const [index, method] of [...handlers.keys()].entries()) {
      if (this.#endpoints.has(tokens[index] ?? '')) {
        throw new RuntimeError('already-exists', `method ${method} is served already`);
      }
    }
    for (const [method, handler] of handlers) {
      const stats = new EndpointStats(methodToken(method), this.#subjects.request(method));
      this.#endpoints.set(methodToken(method), { method, handler, stats });
    }
    return tokens;
  }

  #subscribe(): void {
    const { link, service, instance } = this.#o;
    const onRefused = (error: Error): void => {
      this.#refusal = error;
    };
    this.#refusal = undefined;
    const control = (msg: Msg): void => {
      // gantry.<node>.<service>.call.<instance>.<key>
      this.#onControl(msg, msg.subject.split('.').slice(5).join('.'));
    };
    this.#others = [
      link.subscribe(this.#subjects.callsOf(instance), control, { onRefused }),
      link.subscribe(this.#subjects.callsOf('all'), control, { onRefused }),
      ...answerDiscovery(this.#o, () => [...this.#endpoints.values()].map((e) => e.stats)),
    ];
    this.#intake = [
      link.subscribe(
        this.#subjects.requests,
        (msg) => {
          this.#onRequest(msg, false);
        },
        { queue: service, onRefused },
      ),
      link.subscribe(
        this.#subjects.everies,
        (msg) => {
          this.#onRequest(msg, true);
        },
        { onRefused },
      ),
    ];
  }

  #remove(registration: object): Promise<void> {
    const tokens = this.#registrations.get(registration);
    if (tokens !== undefined) {
      this.#registrations.delete(registration);
      const before = this.#removing;
      this.#removing = Promise.all([before, this.#retire(tokens)]).then(() => undefined);
    }
    return this.#removing;
  }

  async #retire(tokens: readonly string[]): Promise<void> {
    const last = this.#registrations.size === 0;
    if (last) {
      const intake = this.#intake;
      this.#intake = [];
      await Promise.allSettled(intake.map((subscription) => this.#o.link.drain(subscription)));
    }
    const methods = new Set(tokens);
    await this.#until(() =>
      [...this.#calls.values()].every(({ call }) => !methods.has(methodToken(call.method))),
    );
    for (const token of tokens) {
      this.#endpoints.delete(token);
    }
    if (last) {
      for (const subscription of this.#others) {
        subscription.unsubscribe();
      }
      this.#others = [];
    }
  }

  async #until(done: () => boolean): Promise<void> {
    while (!done()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#settled.add(resolve);
      await promise;
      this.#settled.delete(resolve);
    }
  }

  #onRequest(msg: Msg, every: boolean): void {
    const key = keyOfInbox(msg.reply);
    if (key === undefined || this.#calls.has(key)) {
      // Nobody to answer, or a call that is running already.
      return;
    }
    const head = decodeRequest(msg);
    const token = msg.subject.slice(msg.subject.lastIndexOf('.') + 1);
    const endpoint = this.#endpoints.get(token);
    const refusal = refusalOf(token, head, endpoint);
    if (head === undefined || endpoint === undefined || refusal !== undefined) {
      const error = refusal ?? new RuntimeError('internal', `request ${token}`);
      this.#o.link.publish(
        inboxOfKey(key),
        new Uint8Array(0),
        encodeFrame({ type: 'error', error }),
      );
      return;
    }
    const call = new InboundCall({
      link: this.#o.link,
      method: endpoint.method,
      inbox: inboxOfKey(key),
      address: this.#subjects.call(this.#o.instance, key),
      timeoutMs: head.timeoutMs,
      maxBodyBytes: this.#o.maxBodyBytes,
      every,
    });
    const active: Active = { call, endpoint, head, collecting: head.part !== undefined };
    this.#calls.set(key, active);
    // A caller of streams, of many instances or with more parts must know at once who has its call.
    if (head.stream || every || head.part !== undefined) {
      call.accept();
    } else {
      call.acceptSoon();
    }
    if (head.part === undefined) {
      void this.#run(key, active, msg.data);
    } else {
      this.#onPart(key, active, head.part, msg.data);
    }
  }

  #onControl(msg: Msg, key: string): void {
    const active = this.#calls.get(key);
    if (active === undefined) {
      return;
    }
    const frame = decodeControl(msg);
    active.call.control(frame);
    if (frame.type === 'part' && active.collecting) {
      this.#onPart(key, active, frame.part, msg.data);
    } else if (active.collecting && active.call.signal.aborted) {
      this.#forget(key);
    }
  }

  #onPart(
    key: string,
    active: Active,
    part: NonNullable<RequestHead['part']>,
    bytes: Uint8Array,
  ): void {
    let body: Uint8Array | undefined;
    try {
      body = active.call.addPart(part, bytes);
    } catch (error) {
      active.call.sendError(error);
      this.#forget(key);
      return;
    }
    if (body !== undefined) {
      active.collecting = false;
      void this.#run(key, active, body);
    }
  }

  async #run(key: string, active: Active, body: Uint8Array): Promise<void> {
    const { call, endpoint, head } = active;
    const span = startServerSpan(this.#o.service, call.method, head.carrier);
    const startedAt = performance.now();
    let failure: unknown;
    try {
      await context.with(span.context, () => runHandler(endpoint.handler, body, call));
    } catch (error) {
      failure = error ?? new Error('handler threw nothing');
      call.sendError(failure);
    }
    span.end(failure);
    endpoint.stats.count(performance.now() - startedAt, failure);
    this.#forget(key);
  }

  #forget(key: string): void {
    this.#calls.get(key)?.call.finish();
    this.#calls.delete(key);
    for (const wake of this.#settled) {
      wake();
    }
  }
}

function refusalOf(
  token: string,
  head: RequestHead | undefined,
  endpoint: Endpoint | undefined,
): RuntimeError | undefined {
  if (head === undefined) {
    return new RuntimeError('invalid-argument', `request ${token}: malformed headers`);
  }
  if (endpoint === undefined) {
    return new RuntimeError('unimplemented', `method ${token} is not offered`);
  }
  if (head.stream !== (endpoint.handler.kind === 'stream')) {
    const kind = head.stream ? 'does not stream' : 'streams';
    return new RuntimeError('unimplemented', `method ${endpoint.method} ${kind}`);
  }
  return undefined;
}
