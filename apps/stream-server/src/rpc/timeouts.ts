/** How long a client may be silent, and may take to open its streams. */
export interface Timeouts {
  readonly idleTimeoutMs: number;
  readonly creationTimeoutMs: number;
}

/** As both peers have it. */
export const creationTimeoutMs = 30_000;
