import { grpcCodeOf, kindOf, messageOf } from '@gantry/errors';
import type { status } from '@grpc/grpc-js';

/** Says what the kubelet is told of `error`: the outermost kind, and every message. */
export function toStatus(error: unknown): { code: status; details: string } {
  return { code: grpcCodeOf(kindOf(error)), details: messageOf(error) };
}
