import { RuntimeError } from '@gantry/errors';

const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

const longestTimerMs = 2 ** 31 - 1; // What setTimeout takes; it fires at once for more.

/**
 * Milliseconds of a `grpc-timeout` header: up to eight digits and a unit
 * (PROTOCOL-HTTP2.md). Throws `internal` for anything else, as grpc-go does.
 */
export function parseGrpcTimeout(value: string): number {
  const [, digits, unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(value) ?? [];
  const factor = unitMs[unit];
  if (digits === undefined || factor === undefined) {
    throw new RuntimeError('internal', `read grpc-timeout: "${value}" is not a time`);
  }
  return Number(digits) * factor;
}

/** Calls `expire` at `deadlineMs` (since 1970), however far away; gives the function that calls it off. */
export function startDeadline(deadlineMs: number, expire: () => void): () => void {
  let timer: NodeJS.Timeout;
  const wait = (): void => {
    const leftMs = deadlineMs - Date.now();
    timer =
      leftMs > longestTimerMs
        ? setTimeout(wait, longestTimerMs)
        : setTimeout(expire, Math.max(0, leftMs));
  };
  wait();
  return () => {
    clearTimeout(timer);
  };
}
