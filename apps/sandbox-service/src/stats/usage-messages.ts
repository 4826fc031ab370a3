import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  CpuUsageSchema,
  FilesystemUsageSchema,
  IoUsageSchema,
  MemoryUsageSchema,
  PsiStatsSchema,
  SwapUsageSchema,
} from '@gantry/proto';
import type { CgroupReading, Pressure, PressureLine } from './cgroup-reading.ts';
import type { MeasuredLayer } from './writable-layers.ts';

/** A reading, when it was taken, and the rate in billionths of a core, where there is one. */
export interface CgroupUsage {
  readonly reading: CgroupReading;
  readonly atNanos: bigint;
  readonly nanoCores?: bigint | undefined;
}

/** What a container and a pod show of a cgroup; parts that the host can't tell are absent. */
export interface UsageMessages {
  readonly cpu?: MessageInitShape<typeof CpuUsageSchema>;
  readonly memory?: MessageInitShape<typeof MemoryUsageSchema>;
  readonly swap?: MessageInitShape<typeof SwapUsageSchema>;
  readonly io?: MessageInitShape<typeof IoUsageSchema>;
}

export function usageMessages({
  reading: { cpu, memory, swap, ioPressure },
  atNanos: timestamp,
  nanoCores,
}: CgroupUsage): UsageMessages {
  return {
    ...(cpu && {
      cpu: {
        timestamp,
        usageCoreNanoSeconds: { value: cpu.usageNanos },
        ...(nanoCores === undefined ? {} : { usageNanoCores: { value: nanoCores } }),
        ...psi(cpu.pressure),
      },
    }),
    ...(memory && { memory: memoryMessage(memory, timestamp) }),
    ...(swap && {
      swap: {
        timestamp,
        swapUsageBytes: { value: swap.usage },
        ...(swap.available === undefined ? {} : { swapAvailableBytes: { value: swap.available } }),
      },
    }),
    ...(ioPressure && { io: { timestamp, ...psi(ioPressure) } }),
  };
}

function memoryMessage(
  memory: NonNullable<CgroupReading['memory']>,
  timestamp: bigint,
): MessageInitShape<typeof MemoryUsageSchema> {
  return {
    timestamp,
    usageBytes: { value: memory.usage },
    workingSetBytes: { value: memory.workingSet },
    rssBytes: { value: memory.rss },
    pageFaults: { value: memory.pageFaults },
    majorPageFaults: { value: memory.majorPageFaults },
    ...(memory.available === undefined ? {} : { availableBytes: { value: memory.available } }),
    ...psi(memory.pressure),
  };
}

export function layerMessage(layer: MeasuredLayer): MessageInitShape<typeof FilesystemUsageSchema> {
  return {
    timestamp: layer.atNanos,
    fsId: { mountpoint: layer.mountPoint },
    usedBytes: { value: layer.bytes },
    inodesUsed: { value: layer.inodes },
  };
}

function psi(
  pressure: Pressure | undefined,
): { psi: MessageInitShape<typeof PsiStatsSchema> } | undefined {
  return pressure && { psi: { Some: psiLine(pressure.some), Full: psiLine(pressure.full) } };
}

function psiLine({ totalNanos, avg10, avg60, avg300 }: PressureLine) {
  return { Total: totalNanos, Avg10: avg10, Avg60: avg60, Avg300: avg300 };
}
