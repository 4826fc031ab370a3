import type { CallContext, RawHandlers, StreamHandler, UnaryHandler } from '@gantry/bus';
import { type ErrorKind, kindOf, messageOf } from '@gantry/errors';
import { asOwner, type Logger, type SpanOwner } from '@gantry/telemetry';
import { CallsInFlight } from './calls-in-flight.ts';

export interface WatchOptions {
  readonly log: Logger;
  /** Given where several services share a process: whose spans the handlers make. */
  readonly owner?: SpanOwner;
}

/** The handlers of a service, watched, and the means to end what they do. */
export interface WatchedHandlers {
  readonly handlers: RawHandlers;
  /** The unary calls under way. */
  readonly unary: CallsInFlight;
  /** The streams under way. */
  readonly streams: CallsInFlight;
}

/** Logs each request that fails, once, where its cause and stack are still known. */
export function watchHandlers(handlers: RawHandlers, options: WatchOptions): WatchedHandlers {
  const watch: Watch = { ...options, unary: new CallsInFlight(), streams: new CallsInFlight() };
  return {
    unary: watch.unary,
    streams: watch.streams,
    handlers: new Map(
      [...handlers].map(([method, handler]) => [
        method,
        handler.kind === 'unary'
          ? watchUnary(method, handler, watch)
          : watchStream(method, handler, watch),
      ]),
    ),
  };
}

interface Watch extends WatchOptions {
  readonly unary: CallsInFlight;
  readonly streams: CallsInFlight;
}

function watchUnary(method: string, handler: UnaryHandler, watch: Watch): UnaryHandler {
  const { log, unary } = watch;
  return {
    kind: 'unary',
    handle: async (body: Uint8Array, context: CallContext) => {
      const start = performance.now();
      try {
        return await unary.run(() => owned(watch, () => handler.handle(body, context)));
      } catch (error) {
        logFailure(log, method, start, error);
        throw error;
      }
    },
  };
}

function watchStream(method: string, handler: StreamHandler, watch: Watch): StreamHandler {
  const { log, streams } = watch;
  return {
    kind: 'stream',
    handle: async function* (body: Uint8Array, context: CallContext) {
      const start = performance.now();
      // A generator runs in the context of whoever pulls, so each pull is made the owner's.
      const source = owned(watch, () => handler.handle(body, context)[Symbol.asyncIterator]());
      const pull = () => streams.run(() => owned(watch, () => source.next()));
      let isOver = false;
      try {
        for (let item = await pull(); item.done !== true; item = await pull()) {
          yield item.value;
        }
        isOver = true;
      } catch (error) {
        logFailure(log, method, start, error);
        throw error;
      } finally {
        if (!isOver) {
          // Not waited for: a generator that is stuck in a pull takes its return only after it.
          source.return?.().catch(() => undefined);
        }
      }
    },
  };
}

function owned<T>({ owner }: Watch, fn: () => T): T {
  return owner === undefined ? fn() : asOwner(owner, fn);
}

/** Kinds that say something of the caller, and nothing of the service. */
const expected: ReadonlySet<ErrorKind> = new Set(['canceled', 'not-found', 'unimplemented']);

function logFailure(log: Logger, method: string, start: number, error: unknown): void {
  const kind = kindOf(error);
  const fields = { method, kind, ms: Math.round(performance.now() - start) };
  if (kind === 'internal' || kind === 'unknown') {
    log.error({ ...fields, err: error }, 'request failed');
  } else if (expected.has(kind)) {
    log.debug({ ...fields, error: messageOf(error) }, 'request failed');
  } else {
    log.warn({ ...fields, error: messageOf(error) }, 'request failed');
  }
}
