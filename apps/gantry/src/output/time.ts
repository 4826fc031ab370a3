const units = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const;

/** `3 minutes ago`: the largest unit that fits, cut off. A time to come is `now`. */
export function ago(thenMs: number, nowMs = Date.now()): string {
  const seconds = Math.floor((nowMs - thenMs) / 1000);
  for (const [unit, length] of units) {
    const count = Math.floor(seconds / length);
    if (count >= 1) {
      return `${count} ${unit}${count === 1 ? '' : 's'} ago`;
    }
  }
  return 'now';
}

/** As `ago`, for the CRI's nanoseconds; 0 means that it never happened. */
export function agoNanos(nanos: bigint, nowMs?: number): string {
  return nanos === 0n ? '' : ago(Number(nanos / 1_000_000n), nowMs);
}

/** The CRI's nanoseconds as RFC 3339; empty for 0. */
export function isoNanos(nanos: bigint): string {
  return nanos === 0n ? '' : new Date(Number(nanos / 1_000_000n)).toISOString();
}
