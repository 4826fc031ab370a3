import type { LinuxContainerResources } from '@gantry/proto';
import type { CgroupDetails } from './cgroup-details.ts';
import type { Sample } from './descriptors.ts';
import type { HugePages } from './huge-pages.ts';
import type { OpenFiles } from './process-figures.ts';

const second = 1_000_000_000n;

/** The file system that a container writes to. */
export interface LayerFigures {
  readonly device: string;
  readonly usageBytes: bigint;
  readonly sizeBytes: bigint;
  readonly inodes: bigint;
  readonly inodesFree: bigint;
}

export interface ContainerMeasures {
  readonly details: CgroupDetails;
  readonly hugePages: readonly HugePages[];
  readonly processes: number;
  readonly open: OpenFiles;
  readonly openFilesLimit?: bigint | undefined;
  readonly layer?: LayerFigures | undefined;
  readonly resources?: LinuxContainerResources | undefined;
  readonly startedAtNanos: bigint;
  readonly nowNanos: bigint;
  /** The name of a block device by `<major>:<minor>`. */
  readonly deviceName: (numbers: string) => string;
}

/** The figures of one running container. */
export function containerSamples(measures: ContainerMeasures): Sample[] {
  const { details } = measures;
  return [
    ...cpuSamples(details),
    ...memorySamples(details),
    ...ioSamples(details, measures.deviceName),
    ...pressureSamples(details),
    ...processSamples(measures),
    ...hugePageSamples(measures.hugePages),
    ...layerSamples(measures.layer),
    ...limitSamples(measures.resources),
    { name: 'container_start_time_seconds', value: measures.startedAtNanos / second },
    { name: 'container_last_seen', value: measures.nowNanos / second },
  ];
}

function cpuSamples({ cpu }: CgroupDetails): Sample[] {
  return cpu === undefined
    ? []
    : [
        {
          name: 'container_cpu_usage_seconds_total',
          value: cpu.usageNanos / second,
          labels: ['total'],
        },
        { name: 'container_cpu_user_seconds_total', value: cpu.userNanos / second },
        { name: 'container_cpu_system_seconds_total', value: cpu.systemNanos / second },
        { name: 'container_cpu_cfs_periods_total', value: cpu.periods },
        { name: 'container_cpu_cfs_throttled_periods_total', value: cpu.throttledPeriods },
        { name: 'container_cpu_cfs_throttled_seconds_total', value: cpu.throttledNanos / second },
      ];
}

function memorySamples({ memory }: CgroupDetails): Sample[] {
  if (memory === undefined) {
    return [];
  }
  const { own, all } = memory.faults;
  const fault = (type: string, scope: string, value: bigint): Sample => ({
    name: 'container_memory_failures_total',
    value,
    labels: [type, scope],
  });
  return [
    { name: 'container_memory_cache', value: memory.cache },
    { name: 'container_memory_rss', value: memory.rss },
    { name: 'container_memory_kernel_usage', value: memory.kernel },
    { name: 'container_memory_mapped_file', value: memory.mappedFile },
    { name: 'container_memory_swap', value: memory.swap },
    { name: 'container_memory_failcnt', value: memory.limitHits },
    { name: 'container_memory_usage_bytes', value: memory.usage },
    { name: 'container_memory_max_usage_bytes', value: memory.maxUsage },
    { name: 'container_memory_working_set_bytes', value: memory.workingSet },
    { name: 'container_memory_total_active_file_bytes', value: memory.activeFile },
    { name: 'container_memory_total_inactive_file_bytes', value: memory.inactiveFile },
    fault('pgfault', 'container', own.minor),
    fault('pgmajfault', 'container', own.major),
    fault('pgfault', 'hierarchy', all.minor),
    fault('pgmajfault', 'hierarchy', all.major),
    { name: 'container_oom_events_total', value: memory.oomKills },
  ];
}

function ioSamples({ io }: CgroupDetails, deviceName: (numbers: string) => string): Sample[] {
  return io.flatMap(({ device: numbers, readBytes, writeBytes, reads, writes }): Sample[] => {
    const device = deviceName(numbers);
    const [major = '', minor = ''] = numbers.split(':');
    const usage = (operation: string, value: bigint): Sample => ({
      name: 'container_blkio_device_usage_total',
      value,
      labels: [device, major, minor, operation],
    });
    return [
      { name: 'container_fs_reads_bytes_total', value: readBytes, labels: [device] },
      { name: 'container_fs_writes_bytes_total', value: writeBytes, labels: [device] },
      { name: 'container_fs_reads_total', value: reads, labels: [device] },
      { name: 'container_fs_writes_total', value: writes, labels: [device] },
      usage('Read', readBytes),
      usage('Write', writeBytes),
    ];
  });
}

function pressureSamples({ pressure }: CgroupDetails): Sample[] {
  return (['cpu', 'memory', 'io'] as const).flatMap((kind): Sample[] => {
    const found = pressure[kind];
    return found === undefined
      ? []
      : [
          {
            name: `container_pressure_${kind}_stalled_seconds_total`,
            value: found.full.totalNanos / second,
          },
          {
            name: `container_pressure_${kind}_waiting_seconds_total`,
            value: found.some.totalNanos / second,
          },
        ];
  });
}

function processSamples({ details, processes, open, openFilesLimit }: ContainerMeasures): Sample[] {
  const { threads } = details;
  return [
    { name: 'container_processes', value: BigInt(processes) },
    { name: 'container_file_descriptors', value: BigInt(open.descriptors) },
    { name: 'container_sockets', value: BigInt(open.sockets) },
    ...(threads === undefined
      ? []
      : ([
          { name: 'container_threads', value: threads.count },
          { name: 'container_threads_max', value: threads.max },
        ] as const)),
    ...(openFilesLimit === undefined
      ? []
      : ([
          { name: 'container_ulimits_soft', value: openFilesLimit, labels: ['max_open_files'] },
        ] as const)),
  ];
}

function hugePageSamples(hugePages: readonly HugePages[]): Sample[] {
  return hugePages.flatMap(({ pageSize, usage, maxUsage }): Sample[] => [
    { name: 'container_hugetlb_usage_bytes', value: usage, labels: [pageSize] },
    ...(maxUsage === undefined
      ? []
      : ([
          { name: 'container_hugetlb_max_usage_bytes', value: maxUsage, labels: [pageSize] },
        ] as const)),
  ]);
}

function layerSamples(layer: LayerFigures | undefined): Sample[] {
  if (layer === undefined) {
    return [];
  }
  const labels = [layer.device];
  return [
    { name: 'container_fs_usage_bytes', value: layer.usageBytes, labels },
    { name: 'container_fs_limit_bytes', value: layer.sizeBytes, labels },
    { name: 'container_fs_inodes_total', value: layer.inodes, labels },
    { name: 'container_fs_inodes_free', value: layer.inodesFree, labels },
  ];
}

// The kernel keeps limits of memory in whole pages, and tools compare with what it keeps.
const pageBytes = 4096n;

// What the kernel gives a cgroup that was told nothing.
const defaultShares = 1024n;
const defaultPeriodMicros = 100_000n;

/** The limits that hold now; the kernel's own where none was asked for. */
function limitSamples(resources: LinuxContainerResources | undefined): Sample[] {
  const positive = (value: bigint | undefined): bigint =>
    value === undefined || value < 0n ? 0n : value;
  const pages = (value: bigint | undefined): bigint =>
    positive(value) - (positive(value) % pageBytes);
  const quota = positive(resources?.cpuQuota);
  const reservation = resources?.unified['memory.low'] ?? '';
  return [
    { name: 'container_spec_cpu_shares', value: positive(resources?.cpuShares) || defaultShares },
    {
      name: 'container_spec_cpu_period',
      value: positive(resources?.cpuPeriod) || defaultPeriodMicros,
    },
    ...(quota === 0n ? [] : ([{ name: 'container_spec_cpu_quota', value: quota }] as const)),
    {
      name: 'container_spec_memory_limit_bytes',
      value: pages(resources?.memoryLimitInBytes),
    },
    {
      name: 'container_spec_memory_reservation_limit_bytes',
      value: /^\d+$/.test(reservation) ? BigInt(reservation) : 0n,
    },
    {
      name: 'container_spec_memory_swap_limit_bytes',
      value: pages(resources?.memorySwapLimitInBytes),
    },
  ];
}
