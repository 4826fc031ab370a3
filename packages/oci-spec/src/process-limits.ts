import type { OciRlimit } from '@gantry/oci';
import type { HostFacts } from './spec-input.ts';

const lowest = -1000;
const highest = 1000;

/**
 * The score to give, lifted to what this process may give: without
 * CAP_SYS_RESOURCE the kernel refuses a lower one than our own, and every
 * container would fail.
 */
export function oomScoreAdjOf(wanted: number, host: Pick<HostFacts, 'lowestOomScoreAdj'>): number {
  return Math.min(Math.max(wanted, host.lowestOomScoreAdj, lowest), highest);
}

/** Resource limits of the process; `openFiles` 0 leaves those that we run under. */
export function rlimitsOf(
  openFiles: number,
  others: readonly OciRlimit[],
  host: Pick<HostFacts, 'maxOpenFiles'>,
): OciRlimit[] {
  const type = 'RLIMIT_NOFILE';
  if (openFiles === 0 || others.some((limit) => limit.type === type)) {
    return [...others];
  }
  const limit = Math.min(openFiles, host.maxOpenFiles);
  return [{ type, soft: limit, hard: limit }, ...others];
}
