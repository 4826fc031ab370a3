import type { CallContext, InboundCall } from './inbound-call.ts';

export interface UnaryHandler {
  readonly kind: 'unary';
  handle(body: Uint8Array, context: CallContext): Promise<Uint8Array>;
}

export interface StreamHandler {
  readonly kind: 'stream';
  /** When the caller is gone the signal aborts and the iterator is returned. */
  handle(body: Uint8Array, context: CallContext): AsyncIterable<Uint8Array>;
}

export type RawHandler = UnaryHandler | StreamHandler;

/** Full method (`runtime.v1.RuntimeService/Version`) -> what answers it. */
export type RawHandlers = ReadonlyMap<string, RawHandler>;

/** Runs a handler and sends what it gives; rejects with what it throws, or the signal's reason. */
export async function runHandler(
  handler: RawHandler,
  body: Uint8Array,
  call: InboundCall,
): Promise<void> {
  if (handler.kind === 'unary') {
    await call.sendBody('answer', await handler.handle(body, call));
    return;
  }
  const items = handler.handle(body, call)[Symbol.asyncIterator]();
  let finished = false;
  try {
    for (;;) {
      const next = await nextUnlessAborted(items, call.signal);
      if (next.done) {
        finished = true;
        break;
      }
      await call.sendBody('item', next.value);
      call.signal.throwIfAborted();
    }
  } catch (error) {
    finished = !call.signal.aborted;
    throw error;
  } finally {
    if (!finished) {
      await items.return?.().catch(() => undefined);
    }
  }
  call.sendEnd();
}

/** The next item, or the signal's reason: a generator that waits must not hold an abort up. */
async function nextUnlessAborted(
  items: AsyncIterator<Uint8Array>,
  signal: AbortSignal,
): Promise<IteratorResult<Uint8Array>> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<Uint8Array>>();
  const onAbort = (): void => {
    reject(signal.reason as Error);
  };
  signal.addEventListener('abort', onAbort);
  items.next().then(resolve, reject);
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
