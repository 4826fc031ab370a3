import type { Duplex } from 'node:stream';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import { RequestSchema, ResponseSchema } from '@gantry/proto/ttrpc';
import { Channel, type WriteFrame } from './channel.ts';
import { checkFieldCount, maxEnvelopeFields } from './field-count.ts';
import { type Frame, frameType, maxDataBytes } from './frame.ts';
import type { OversizeFrame } from './frame-decoder.ts';
import { StatusError } from './status-error.ts';

export interface ClientOptions {
  /** The largest message in either direction, in bytes; 4 MiB unless said otherwise. */
  readonly maxMessageBytes?: number;
}

export interface CallOptions {
  /** The other side is told, and the call ends with `deadline-exceeded` when it is over. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly metadata?: readonly (readonly [string, string])[];
  /** Writes the request in place of the stream, for one that must be tied to something else. */
  readonly write?: WriteFrame;
}

interface Pending {
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Calls over one connection, any number at a time. A call that has ended by
 * its time or signal is forgotten: a late answer is dropped. There is no way to
 * tell the other side of a cancel.
 */
export class TtrpcClient {
  readonly #channel: Channel;
  readonly #pending = new Map<number, Pending>();
  readonly #closed = Promise.withResolvers<RuntimeError>();
  #nextId = 1;

  constructor(stream: Duplex, options: ClientOptions = {}) {
    this.#channel = new Channel(
      stream,
      {
        frame: (frame) => {
          this.#take(frame);
        },
        oversize: (frame) => {
          this.#refuse(frame);
        },
        closed: (cause) => {
          this.#end(cause);
        },
      },
      options.maxMessageBytes ?? maxDataBytes,
    );
  }

  /** Resolves with the cause when the connection is over. */
  get closed(): Promise<RuntimeError> {
    return this.#closed.promise;
  }

  get isClosed(): boolean {
    return this.#channel.cause !== undefined;
  }

  /**
   * Throws a `StatusError` where the other side said no; else a `RuntimeError`:
   * `unavailable` when the connection ends, `deadline-exceeded` or `canceled`,
   * `resource-exhausted` for a message that is too large, `internal` for an
   * answer that is none.
   */
  async call(
    service: string,
    method: string,
    payload: Uint8Array,
    options: CallOptions = {},
  ): Promise<Uint8Array> {
    options.signal?.throwIfAborted();
    if (this.#channel.cause !== undefined) {
      throw this.#channel.cause;
    }
    const { timeoutMs, metadata = [] } = options;
    const request = create(RequestSchema, {
      service,
      method,
      payload,
      metadata: metadata.map(([key, value]) => ({ key, value })),
      ...(timeoutMs === undefined ? {} : { timeoutNano: BigInt(Math.ceil(timeoutMs * 1e6)) }),
    });
    const streamId = this.#nextId;
    const answer = Promise.withResolvers<Uint8Array>();
    using _waiting = this.#wait(streamId, answer, options);
    const sent = this.#channel.send(
      { streamId, type: frameType.request, data: toBinary(RequestSchema, request) },
      options.write,
    );
    this.#nextId += 2;
    sent.catch(answer.reject);
    return await answer.promise;
  }

  /** Ends the connection; calls under way fail with `cause`. */
  close(cause = new RuntimeError('unavailable', 'ttrpc: connection closed')): void {
    this.#channel.close(cause);
  }

  #wait(streamId: number, answer: Pending, options: CallOptions): Disposable {
    const { timeoutMs, signal } = options;
    this.#pending.set(streamId, answer);
    const leave = (): void => {
      answer.reject(signal?.reason);
    };
    signal?.addEventListener('abort', leave, { once: true });
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            // Where this process was held up as long, an answer may lie there unread: it comes first.
            setImmediate(() => {
              const words = `no answer within ${Math.ceil(timeoutMs)} ms`;
              answer.reject(new RuntimeError('deadline-exceeded', words));
            });
          }, timeoutMs);
    return {
      [Symbol.dispose]: () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', leave);
        this.#pending.delete(streamId);
      },
    };
  }

  #take({ streamId, type, data }: Frame): void {
    const pending = this.#pending.get(streamId);
    if (pending === undefined || type !== frameType.response) {
      return;
    }
    try {
      checkFieldCount(ResponseSchema, data, maxEnvelopeFields);
      const { status, payload } = fromBinary(ResponseSchema, data, { readUnknownFields: false });
      if (status === undefined || status.code === 0) {
        pending.resolve(payload);
      } else {
        pending.reject(new StatusError(status.code, status.message));
      }
    } catch (cause) {
      pending.reject(new RuntimeError('internal', 'ttrpc: an answer that is none', { cause }));
    }
  }

  #refuse({ streamId, lengthBytes }: OversizeFrame): void {
    const words = `ttrpc: an answer of ${lengthBytes} bytes is too large`;
    this.#pending.get(streamId)?.reject(new RuntimeError('resource-exhausted', words));
  }

  #end(cause: RuntimeError): void {
    for (const pending of [...this.#pending.values()]) {
      pending.reject(cause);
    }
    this.#closed.resolve(cause);
  }
}
