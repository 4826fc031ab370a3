import type { ErrorKind } from './runtime-error.ts';

/** The numeric gRPC status code of each kind (grpc/grpc statuscodes.md). */
const codes: Readonly<Record<ErrorKind, number>> = {
  canceled: 1,
  unknown: 2,
  'invalid-argument': 3,
  'deadline-exceeded': 4,
  'not-found': 5,
  'already-exists': 6,
  'permission-denied': 7,
  'resource-exhausted': 8,
  'failed-precondition': 9,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
};

const kinds = new Map(Object.entries(codes).map(([kind, code]) => [code, kind as ErrorKind]));

/** The gRPC status code that tells a client of `kind`. */
export function grpcCodeOf(kind: ErrorKind): number {
  return codes[kind];
}

/** The kind that a gRPC status code stands for; codes we never send are `unknown`. */
export function kindOfGrpcCode(code: number): ErrorKind {
  return kinds.get(code) ?? 'unknown';
}
