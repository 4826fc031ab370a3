import type { Duplex } from 'node:stream';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import { type Request, RequestSchema, ResponseSchema } from '@gantry/proto/ttrpc';
import { Channel } from './channel.ts';
import { checkFieldCount, maxEnvelopeFields } from './field-count.ts';
import { type Frame, frameFlags, frameType, maxDataBytes } from './frame.ts';
import { StatusError, statusOf } from './status-error.ts';

export interface ServerOptions {
  /** The largest message in either direction, in bytes; 4 MiB unless said otherwise. */
  readonly maxMessageBytes?: number;
  /** So many requests are worked on at a time; more of them wait in the peer. 64 unless said otherwise. */
  readonly maxInFlight?: number;
}

export interface HandlerContext {
  /** Aborts when the caller's time is over or its connection has ended. */
  readonly signal: AbortSignal;
  readonly metadata: readonly (readonly [string, string])[];
}

/** Answers one request; what it throws becomes the status. */
export type Handler = (payload: Uint8Array, context: HandlerContext) => Promise<Uint8Array>;

/** By the full name of the service, then by the name of the method. */
export type Services = ReadonlyMap<string, ReadonlyMap<string, Handler>>;

const longestTimerMs = 2 ** 31 - 1;

/** Answers the requests of one connection, any number at a time, in the order in which they end. */
export class TtrpcServer {
  readonly #channel: Channel;
  readonly #services: Services;
  readonly #maxInFlight: number;
  readonly #closing = new AbortController();
  readonly #closed = Promise.withResolvers<RuntimeError>();
  #lastId = 0;
  #inFlight = 0;

  constructor(stream: Duplex, services: Services, options: ServerOptions = {}) {
    this.#services = services;
    this.#maxInFlight = options.maxInFlight ?? 64;
    this.#channel = new Channel(
      stream,
      {
        frame: (frame) => {
          this.#take(frame);
        },
        oversize: ({ streamId, lengthBytes }) => {
          const words = `message of ${lengthBytes} bytes is too large`;
          this.#answer(streamId, Promise.reject(new RuntimeError('resource-exhausted', words)));
        },
        closed: (cause) => {
          this.#closing.abort(cause);
          this.#closed.resolve(cause);
        },
      },
      options.maxMessageBytes ?? maxDataBytes,
    );
  }

  /** Resolves with the cause when the connection is over. */
  get closed(): Promise<RuntimeError> {
    return this.#closed.promise;
  }

  /** Ends the connection; requests under way are aborted. */
  close(cause = new RuntimeError('unavailable', 'ttrpc: connection closed')): void {
    this.#channel.close(cause);
  }

  #take(frame: Frame): void {
    if (frame.type === frameType.request || frame.type === frameType.data) {
      this.#answer(frame.streamId, this.#handle(frame));
    }
  }

  async #handle(frame: Frame): Promise<Uint8Array> {
    const { streamId } = frame;
    if (frame.type === frameType.data) {
      throw new RuntimeError('invalid-argument', `stream ${streamId}: is not open`);
    }
    if (streamId % 2 !== 1 || streamId <= this.#lastId) {
      throw new RuntimeError('invalid-argument', `stream id ${streamId}: must be odd and rise`);
    }
    this.#lastId = streamId;
    if ((frame.flags & frameFlags.remoteOpen) !== 0) {
      throw new RuntimeError('unimplemented', 'streams are not offered');
    }
    const request = parseRequest(frame.data);
    const handler = this.#find(request);
    using over = this.#deadline(request);
    return await handler(request.payload, {
      signal: over.signal,
      metadata: request.metadata.map(({ key, value }) => [key, value] as const),
    });
  }

  #find({ service, method }: Request): Handler {
    const methods = this.#services.get(service);
    if (methods === undefined) {
      throw new RuntimeError('unimplemented', `service ${service}`);
    }
    const handler = methods.get(method);
    if (handler === undefined) {
      throw new RuntimeError('unimplemented', `method ${method}`);
    }
    return handler;
  }

  #deadline({ timeoutNano }: Request): Disposable & { readonly signal: AbortSignal } {
    const closing = this.#closing.signal;
    if (timeoutNano <= 0n) {
      return { signal: closing, [Symbol.dispose]: () => undefined };
    }
    const over = new AbortController();
    const timer = setTimeout(
      () => {
        over.abort(new DOMException('the caller waits no longer', 'TimeoutError'));
      },
      Math.min(Number(timeoutNano) / 1e6, longestTimerMs),
    );
    // A handler that never ends must not hold up the end of its process.
    timer.unref();
    return {
      signal: AbortSignal.any([closing, over.signal]),
      [Symbol.dispose]: () => {
        clearTimeout(timer);
      },
    };
  }

  #answer(streamId: number, result: Promise<Uint8Array>): void {
    this.#inFlight++;
    if (this.#inFlight === this.#maxInFlight) {
      this.#channel.pause();
    }
    result
      .then(
        (payload) => this.#respond(streamId, toBinary(ResponseSchema, withPayload(payload))),
        (error: unknown) => this.#respond(streamId, failure(error)),
      )
      .catch((error: unknown) => this.#respond(streamId, failure(error)))
      .catch(() => undefined)
      .finally(() => {
        this.#inFlight--;
        if (this.#inFlight === this.#maxInFlight - 1) {
          this.#channel.resume();
        }
      });
  }

  #respond(streamId: number, data: Uint8Array): Promise<void> {
    return this.#channel.send({ streamId, type: frameType.response, data });
  }
}

function withPayload(payload: Uint8Array) {
  return create(ResponseSchema, { payload });
}

function failure(error: unknown): Uint8Array {
  return toBinary(ResponseSchema, create(ResponseSchema, { status: statusOf(error) }));
}

function parseRequest(data: Uint8Array): Request {
  try {
    checkFieldCount(RequestSchema, data, maxEnvelopeFields);
    return fromBinary(RequestSchema, data, { readUnknownFields: false });
  } catch (error) {
    if (error instanceof RuntimeError) {
      throw error;
    }
    throw new StatusError(3, 'unmarshal request');
  }
}
