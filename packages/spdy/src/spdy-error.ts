/** Status codes of RST_STREAM; the first three are also those of GOAWAY, one lower. */
export const resetStatus = {
  protocolError: 1,
  invalidStream: 2,
  refusedStream: 3,
  unsupportedVersion: 4,
  cancel: 5,
  internalError: 6,
  flowControlError: 7,
  streamInUse: 8,
  streamAlreadyClosed: 9,
  frameTooLarge: 11,
} as const;

/**
 * What a caller may act on: `invalid-argument` the peer broke the protocol or
 * a limit, `unavailable` it went away, `deadline-exceeded` it was idle too
 * long, `canceled` this side (or a reset by the peer) ended it.
 */
export type SpdyErrorKind = 'invalid-argument' | 'unavailable' | 'deadline-exceeded' | 'canceled';

export class SpdyError extends Error {
  override readonly name = 'SpdyError';
  readonly kind: SpdyErrorKind;

  constructor(kind: SpdyErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

export function protocolError(message: string, options?: ErrorOptions): SpdyError {
  return new SpdyError('invalid-argument', `spdy: ${message}`, options);
}
