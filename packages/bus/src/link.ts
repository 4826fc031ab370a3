import { setTimeout as pause } from 'node:timers/promises';
import { RuntimeError } from '@gantry/errors';
import {
  connect,
  errors,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  type Status,
} from '@nats-io/transport-node';
import { partBytesFor } from './limits.ts';

/** What happened to a bus's connection; for logs and tests. */
export type BusEvent =
  | { readonly type: 'connected' | 'disconnected' }
  /** The server refused something (a permissions violation), or a message made no sense. */
  | { readonly type: 'error'; readonly error: Error };

export interface LinkOptions {
  readonly servers: string;
  readonly name: string;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly inboxPrefix: string;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent: (event: BusEvent) => void;
}

export interface LinkSubscription {
  drain(): Promise<void>;
  unsubscribe(): void;
}

const firstRetryMs = 250;
const closedMessage = 'the bus is closed';

/**
 * One NATS connection that comes back for ever, and the little that the bus
 * needs of it. Nothing that a peer sends makes a callback throw: inside the
 * library that would end the connection.
 */
export class Link {
  readonly #connection: NatsConnection;
  readonly #onEvent: (event: BusEvent) => void;
  readonly #downListeners = new Set<() => void>();
  readonly #refusalListeners = new Set<(subject: string, error: Error) => void>();
  #connected = true;
  #partBytes: number;
  // Counts the losses of the connection.
  #generation = 0;

  constructor(connection: NatsConnection, onEvent: (event: BusEvent) => void) {
    this.#connection = connection;
    this.#onEvent = onEvent;
    this.#partBytes = partBytesFor(connection.info?.max_payload ?? 0);
    void this.#watch();
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** The largest body that one message may carry to this server. */
  get partBytes(): number {
    return this.#partBytes;
  }

  /** Calls back each time that the connection is lost or closed. */
  onDown(listener: () => void): void {
    this.#downListeners.add(listener);
  }

  /** Calls back when the server refuses a message to `subject`. */
  onPublishRefused(listener: (subject: string, error: Error) => void): void {
    this.#refusalListeners.add(listener);
  }

  /** Throws `unavailable` when the bus is closed, `invalid-argument` for headers without measure. */
  publish(subject: string, body: Uint8Array, headers?: MsgHdrs, reply?: string): void {
    try {
      this.#connection.publish(subject, body, {
        ...(headers === undefined ? {} : { headers }),
        ...(reply === undefined ? {} : { reply }),
      });
    } catch (cause) {
      const kind =
        cause instanceof errors.InvalidArgumentError ? 'invalid-argument' : 'unavailable';
      throw new RuntimeError(kind, `publish to ${subject}`, { cause });
    }
  }

  /**
   * Publishes what may get lost: when there is no connection it does nothing. With `reply`, the server says there at
   * once (status 503) when nobody listens at `subject`.
   */
  tell(subject: string, body: Uint8Array, headers?: MsgHdrs, reply?: string): void {
    if (this.#connected && !this.#connection.isClosed()) {
      this.publish(subject, body, headers, reply);
    }
  }

  /** Subscribes; a refusal by the server goes to `onRefused` and to the events. */
  subscribe(
    subject: string,
    onMessage: (msg: Msg) => void,
    options: { queue?: string; onRefused?: (error: Error) => void } = {},
  ): LinkSubscription {
    return this.#connection.subscribe(subject, {
      ...(options.queue === undefined ? {} : { queue: options.queue }),
      callback: (refusal: Error | null, msg) => {
        if (refusal !== null) {
          options.onRefused?.(refusal);
          return;
        }
        try {
          onMessage(msg);
        } catch (cause) {
          this.report(new RuntimeError('internal', `message on ${subject}`, { cause }));
        }
      },
    });
  }

  /** Takes no new messages; resolves when those under way were handed over. */
  async drain(subscription: LinkSubscription): Promise<void> {
    if (this.#connected) {
      await subscription.drain();
    } else {
      subscription.unsubscribe();
    }
  }

  /** Resolves when the server has seen all that was sent; at once when there is no connection. */
  async flush(): Promise<void> {
    if (this.#connected) {
      // A connection lost meanwhile is told by the events.
      await this.#connection.flush().catch(() => undefined);
    }
  }

  report(error: Error): void {
    this.#onEvent({ type: 'error', error });
  }

  async close(): Promise<void> {
    await this.flush();
    await this.#connection.close();
    this.#goDown();
  }

  async #watch(): Promise<void> {
    for await (const status of this.#connection.status()) {
      this.#onStatus(status);
    }
    this.#goDown();
  }

  #onStatus(status: Status): void {
    if (status.type === 'disconnect') {
      this.#generation += 1;
      this.#goDown();
    } else if (status.type === 'reconnect') {
      void this.#comeBack();
    } else if (status.type === 'error') {
      const { error } = status;
      if (error instanceof errors.PermissionViolationError && error.operation === 'publish') {
        for (const listener of this.#refusalListeners) {
          listener(error.subject, error);
        }
      }
      this.report(error);
    }
  }

  /** Connected again means that the server knows our subscriptions again. */
  async #comeBack(): Promise<void> {
    const generation = this.#generation;
    try {
      await this.#connection.flush();
    } catch {
      // Lost again meanwhile.
      return;
    }
    if (generation === this.#generation && !this.#connection.isClosed()) {
      this.#connected = true;
      this.#partBytes = partBytesFor(this.#connection.info?.max_payload ?? 0);
      this.#onEvent({ type: 'connected' });
    }
  }

  #goDown(): void {
    if (this.#connected) {
      this.#connected = false;
      for (const listener of this.#downListeners) {
        listener();
      }
      this.#onEvent({ type: 'disconnected' });
    }
  }
}

/**
 * Connects, and tries for ever while the server is away. Rejects with
 * `unauthenticated` on credentials that the server does not take, and with the
 * signal's reason when it aborts.
 */
export async function connectLink(options: LinkOptions): Promise<Link> {
  const pauseOptions = options.signal === undefined ? {} : { signal: options.signal };
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      const connection = await connect({
        servers: options.servers.split(','),
        name: options.name,
        inboxPrefix: options.inboxPrefix,
        maxReconnectAttempts: -1,
        reconnectTimeWait: 200,
        reconnectJitter: 100,
        // A server that restarts with a new config must not make us give up.
        ignoreAuthErrorAbort: true,
        timeout: 5000,
        pingInterval: 10_000,
        ...(options.user === undefined ? {} : { user: options.user }),
        ...(options.password === undefined ? {} : { pass: options.password }),
      });
      return new Link(connection, options.onEvent);
    } catch (cause) {
      if (cause instanceof errors.AuthorizationError) {
        throw new RuntimeError('unauthenticated', `connect to NATS at ${options.servers}`, {
          cause,
        });
      }
      await pause(firstRetryMs, undefined, pauseOptions).catch(() => undefined);
    }
  }
}

/** What a call is told when there is no connection to make it on. */
export function disconnectedError(what: string, closed = false): RuntimeError {
  return new RuntimeError(
    'unavailable',
    `${what}: ${closed ? closedMessage : 'NATS is not connected'}`,
  );
}
