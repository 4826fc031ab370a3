import type { OciLinux, OciProcess, OciSpec } from '@gantry/oci';

/** What newer OCI runtimes know beside @gantry/oci (OCI runtime spec 1.3). */
export interface AdjustedSpec extends OciSpec {
  process: OciProcess & {
    scheduler?: {
      policy: string;
      nice?: number;
      priority?: number;
      flags?: string[];
      runtime?: number;
      deadline?: number;
      period?: number;
    };
  };
  linux: OciLinux & {
    netDevices?: Record<string, { name?: string }>;
    memoryPolicy?: { mode: string; nodes: string; flags?: string[] };
    intelRdt?: {
      closID?: string;
      l3CacheSchema?: string;
      memBwSchema?: string;
      schemata?: string[];
      enableMonitoring?: boolean;
    };
  };
}

/** JSON.rawJSON is in Node and not yet in TypeScript's library. */
const json = JSON as JSON & { rawJSON(text: string): unknown };

/**
 * A number for config.json. One that JavaScript can't hold, such as an unlimited
 * rlimit, stands for its digits: JSON.stringify writes them.
 */
export function jsonNumber(value: bigint): number {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : (json.rawJSON(value.toString()) as number);
}

/** Such as SCHED_FIFO: what the OCI calls a value of an enum, which has the same names. */
export function enumName(values: Readonly<Record<string, number>>, value: number): string {
  return Object.entries(values).find(([, number]) => number === value)?.[0] ?? String(value);
}
