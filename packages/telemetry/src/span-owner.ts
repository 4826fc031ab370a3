import { type Context, context, createContextKey } from '@opentelemetry/api';

/** Whose spans are made where several services share a process. */
export interface SpanOwner {
  readonly service: string;
  readonly instance: string;
}

const key = createContextKey('gantry span owner');

/** Runs `fn` so that every span and log line made in it, or in what it starts, is `owner`'s. */
export function asOwner<T>(owner: SpanOwner, fn: () => T): T {
  return context.with(context.active().setValue(key, owner), fn);
}

/** The owner that `asOwner` has set, if any. */
export function ownerOf(of: Context): SpanOwner | undefined {
  return of.getValue(key) as SpanOwner | undefined;
}
