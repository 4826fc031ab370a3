import { grpcCodeOf, kindOf, kindOfGrpcCode, messageOf, RuntimeError } from '@gantry/errors';
import type { Status } from '@gantry/proto/ttrpc';

/**
 * An error that the other side has told in words. All other errors of a call
 * are of the connection, of time, or of a side that does not keep the protocol.
 */
export class StatusError extends RuntimeError {
  /** A gRPC code, also one that no kind of ours stands for. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(kindOfGrpcCode(code), message);
    this.code = code;
  }
}

/** How an error of a handler is told to the caller; one without a kind is UNKNOWN, as in Go. */
export function statusOf(error: unknown): Pick<Status, 'code' | 'message'> {
  if (error instanceof StatusError) {
    return { code: error.code, message: error.message };
  }
  const kind = kindOf(error);
  const code = grpcCodeOf(kind === 'internal' && !hasKind(error) ? 'unknown' : kind);
  return { code, message: messageOf(error) };
}

function hasKind(error: unknown): boolean {
  return error instanceof RuntimeError;
}
