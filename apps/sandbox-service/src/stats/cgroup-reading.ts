/** How long tasks waited for a resource (PSI, Documentation/accounting/psi.rst), in the kernel's own averages. */
export interface Pressure {
  readonly some: PressureLine;
  readonly full: PressureLine;
}

export interface PressureLine {
  readonly totalNanos: bigint;
  /** Per cent of the last 10, 60 and 300 seconds. */
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
}

/** What a cgroup and all below it use now, in bytes unless said otherwise. What the host can't tell is absent. */
export interface CgroupReading {
  readonly cpu?: {
    readonly usageNanos: bigint;
    readonly pressure?: Pressure | undefined;
  };
  readonly memory?: {
    readonly usage: bigint;
    /** What can't be taken back at once: usage without file pages that were not used of late. */
    readonly workingSet: bigint;
    /** Up to the limit; absent without one. */
    readonly available?: bigint | undefined;
    readonly rss: bigint;
    readonly pageFaults: bigint;
    readonly majorPageFaults: bigint;
    readonly pressure?: Pressure | undefined;
  };
  readonly swap?: {
    readonly usage: bigint;
    readonly available?: bigint | undefined;
  };
  readonly ioPressure?: Pressure | undefined;
}

/** `limit` less what is used, not below zero; undefined without a limit. */
export function availableOf(limit: bigint | undefined, used: bigint): bigint | undefined {
  return limit === undefined ? undefined : atLeastZero(limit - used);
}

export function atLeastZero(n: bigint): bigint {
  return n < 0n ? 0n : n;
}
