import { atLeastZero, availableOf, type CgroupReading } from './cgroup-reading.ts';
import { figureOf, parseFigure, parsePressure } from './cgroup-texts.ts';

/** The files of a cgroup v2 that a reading needs. */
export const v2Files = {
  cpu: 'cpu.stat',
  current: 'memory.current',
  stat: 'memory.stat',
  limit: 'memory.max',
  swap: 'memory.swap.current',
  swapLimit: 'memory.swap.max',
  cpuPressure: 'cpu.pressure',
  memoryPressure: 'memory.pressure',
  ioPressure: 'io.pressure',
} as const;

export type V2Texts = Readonly<Record<keyof typeof v2Files, string | undefined>>;

/** Reads the figures of one cgroup (Documentation/admin-guide/cgroup-v2.rst). */
export function parseV2(texts: V2Texts): CgroupReading {
  return {
    ...parseCpu(texts),
    ...parseMemory(texts),
    ...parseSwap(texts),
    ioPressure: parsePressure(texts.ioPressure),
  };
}

function parseCpu({ cpu, cpuPressure }: V2Texts): Pick<CgroupReading, 'cpu'> {
  const micros = figureOf(cpu ?? '', 'usage_usec');
  return micros === undefined
    ? {}
    : { cpu: { usageNanos: micros * 1000n, pressure: parsePressure(cpuPressure) } };
}

function parseMemory({
  current,
  stat = '',
  limit,
  memoryPressure,
}: V2Texts): Pick<CgroupReading, 'memory'> {
  const usage = parseFigure(current);
  if (usage === undefined) {
    return {};
  }
  const figure = (key: string): bigint => figureOf(stat, key) ?? 0n;
  const workingSet = atLeastZero(usage - figure('inactive_file'));
  return {
    memory: {
      usage,
      workingSet,
      available: availableOf(parseFigure(limit), workingSet),
      rss: figure('anon'),
      pageFaults: figure('pgfault'),
      majorPageFaults: figure('pgmajfault'),
      pressure: parsePressure(memoryPressure),
    },
  };
}

function parseSwap({ swap, swapLimit }: V2Texts): Pick<CgroupReading, 'swap'> {
  const usage = parseFigure(swap);
  return usage === undefined
    ? {}
    : { swap: { usage, available: availableOf(parseFigure(swapLimit), usage) } };
}
