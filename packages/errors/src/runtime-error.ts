/**
 * The closed set of reasons a caller may act on. Each maps to one gRPC status
 * code (docs/errors.md); whatever fits none of them is `internal`.
 */
export type ErrorKind =
  | 'already-exists'
  | 'canceled'
  | 'deadline-exceeded'
  | 'failed-precondition'
  | 'internal'
  | 'invalid-argument'
  | 'not-found'
  | 'permission-denied'
  | 'resource-exhausted'
  | 'unauthenticated'
  | 'unavailable'
  | 'unimplemented'
  | 'unknown';

/** An error that tells its caller what to do, and keeps what caused it. */
export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/**
 * The kind of the outermost error in the chain that has one; `internal` where
 * none has. An error that crossed the bus counts: the property is looked at,
 * not the class.
 */
export function kindOf(error: unknown): ErrorKind {
  for (let e = error; e instanceof Error; e = e.cause) {
    if ('kind' in e && typeof e.kind === 'string') {
      return e.kind as ErrorKind;
    }
    if (e.name === 'AbortError') {
      return 'canceled';
    }
    if (e.name === 'TimeoutError') {
      return 'deadline-exceeded';
    }
  }
  return 'internal';
}

/** Reports whether `error`, or anything that caused it, is of `kind`. */
export function isKind(error: unknown, kind: ErrorKind): boolean {
  for (let e = error; e instanceof Error; e = e.cause) {
    if ('kind' in e && e.kind === kind) {
      return true;
    }
  }
  return false;
}

/** Every message of the chain, outermost first, joined by ": " as Go does. */
export function messageOf(error: unknown): string {
  const messages: string[] = [];
  for (let e = error; e instanceof Error; e = e.cause) {
    messages.push(e.message);
  }
  return messages.join(': ') || String(error);
}
