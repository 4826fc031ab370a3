import { randomBytes } from 'node:crypto';
import { Caller, type CallOptions } from './caller.ts';
import { readCredentials } from './credentials.ts';
import type { Answer } from './gather.ts';
import type { RawHandlers } from './handler.ts';
import { defaultMaxBodyBytes, tickMs } from './limits.ts';
import { type BusEvent, connectLink, type Link } from './link.ts';
import { Responder } from './responder.ts';
import { checkToken, inboxPrefix, nodeToken, type ServiceName } from './subjects.ts';

export interface BusOptions {
  /** The node's name; a part of every subject. */
  readonly node: string;
  /** Who this process is; the user and the queue group. */
  readonly service: ServiceName;
  /** `nats://127.0.0.1:4222`, or several with commas between. */
  readonly servers: string;
  /** JSON `{user, password}`, as writeNatsConfig writes it. */
  readonly credentialsFile?: string | undefined;
  /** Tells the instances of a service apart; a random one unless given. */
  readonly instance?: string | undefined;
  /** For unary calls that have no deadline of their own; none unless given. */
  readonly requestTimeoutMs?: number | undefined;
  /** The largest body that is put together from parts; 128 MiB unless given. */
  readonly maxBodyBytes?: number | undefined;
  /** Shown by `$SRV`; a semantic version. */
  readonly version?: string | undefined;
  /** Ends the attempts to connect. */
  readonly signal?: AbortSignal | undefined;
  /** Told when the connection is lost and back, and what the server refused. Must not throw. */
  readonly onEvent?: ((event: BusEvent) => void) | undefined;
}

export interface GatherOptions {
  /** How long to wait for instances that have begun to answer; 2000 unless given. */
  readonly timeoutMs?: number | undefined;
}

/**
 * Requests between the services of a node. Disposing of it drains: no new
 * requests are taken, those in flight are answered, then the connection closes.
 */
export interface Bus extends AsyncDisposable {
  readonly connected: boolean;
  readonly instance: string;
  /**
   * Asks one instance of `service`. Rejects with the RuntimeError that the
   * handler threw, with `unavailable` when no instance runs, the one asked died
   * or NATS is away, and with `canceled` or `deadline-exceeded` as `options` say.
   */
  request(
    service: ServiceName,
    method: string,
    body: Uint8Array,
    options?: CallOptions,
  ): Promise<Uint8Array>;
  /**
   * Asks one instance for a stream, when the iteration starts. Breaking off ends
   * the handler's generator. Throws as request does.
   */
  stream(
    service: ServiceName,
    method: string,
    body: Uint8Array,
    options?: CallOptions,
  ): AsyncIterable<Uint8Array>;
  /** Asks every instance; those that fail or stay silent are left out. */
  gather(
    service: ServiceName,
    method: string,
    body: Uint8Array,
    options?: GatherOptions,
  ): Promise<readonly Answer[]>;
  /** Offers methods; disposing of the result waits for the calls in flight. */
  serve(handlers: RawHandlers): Promise<AsyncDisposable>;
}

/** Connects to NATS; waits for as long as it is away, and comes back for ever. */
export async function connectBus(options: BusOptions): Promise<Bus> {
  const { service, servers, onEvent } = options;
  const node = nodeToken(options.node);
  const instance = checkToken(options.instance ?? randomBytes(6).toString('hex'), 'the instance');
  const credentials =
    options.credentialsFile === undefined
      ? undefined
      : await readCredentials(options.credentialsFile);
  const link = await connectLink({
    servers,
    name: `gantry-${service}-${instance}`,
    user: credentials?.user,
    password: credentials?.password,
    inboxPrefix: inboxPrefix(service),
    signal: options.signal,
    onEvent: (event) => onEvent?.(event),
  });
  return new NatsBus(link, { ...options, node, instance });
}

class NatsBus implements Bus {
  readonly instance: string;
  readonly #link: Link;
  readonly #caller: Caller;
  readonly #responder: Responder;
  readonly #ticker: NodeJS.Timeout;
  #tickedAt = performance.now();
  #disposed: Promise<void> | undefined;

  constructor(link: Link, options: BusOptions & { readonly instance: string }) {
    const { node, service, instance } = options;
    const maxBodyBytes = options.maxBodyBytes ?? defaultMaxBodyBytes;
    this.instance = instance;
    this.#link = link;
    this.#caller = new Caller({
      link,
      node,
      service,
      connection: randomBytes(8).toString('hex'),
      maxBodyBytes,
      requestTimeoutMs: options.requestTimeoutMs,
    });
    const version = options.version ?? '0.1.0';
    this.#responder = new Responder({ link, node, service, instance, version, maxBodyBytes });
    this.#ticker = setInterval(() => {
      this.#tick();
    }, tickMs);
  }

  get connected(): boolean {
    return this.#link.connected;
  }

  request(
    service: ServiceName,
    method: string,
    body: Uint8Array,
    options?: CallOptions,
  ): Promise<Uint8Array> {
    return this.#caller.request(service, method, body, options);
  }

  stream(
    service: ServiceName,
    method: string,
    body: Uint8Array,
    options?: CallOptions,
  ): AsyncIterable<Uint8Array> {
    return this.#caller.stream(service, method, body, options);
  }

  gather(
    service: ServiceName,
    method: string,
    body: Uint8Array,
    options?: GatherOptions,
  ): Promise<readonly Answer[]> {
    return this.#caller.gather(service, method, body, options?.timeoutMs ?? 2000);
  }

  serve(handlers: RawHandlers): Promise<AsyncDisposable> {
    return this.#responder.serve(handlers);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #dispose(): Promise<void> {
    // Handlers in flight may ask others until they are done.
    await this.#responder.drain();
    this.#caller.close();
    clearInterval(this.#ticker);
    await this.#link.close();
  }

  #tick(): void {
    const now = performance.now();
    // When this process was held up itself, nobody's silence counts for that time.
    const lateMs = Math.max(0, now - this.#tickedAt - 2 * tickMs);
    this.#tickedAt = now;
    this.#caller.tick(now, lateMs);
    this.#responder.tick(now, lateMs);
  }
}
