import type { MessageInitShape } from '@bufbuild/protobuf';
import { type MetricDescriptorSchema, MetricType } from '@gantry/proto';

/** Of every metric, as cAdvisor in a kubelet has them; `id` is the cgroup, `name` the container's id. */
const baseLabels = ['container', 'id', 'image', 'name', 'namespace', 'pod'] as const;

interface Kind {
  readonly help: string;
  readonly type: MetricType;
  /** Beside those that every metric has. */
  readonly labels: readonly string[];
}

const counter = (help: string, ...labels: string[]): Kind => ({
  help,
  type: MetricType.COUNTER,
  labels,
});
const gauge = (help: string, ...labels: string[]): Kind => ({
  help,
  type: MetricType.GAUGE,
  labels,
});

/*
 * The metrics that Kubernetes documents for /metrics/cadvisor, by name. The CRI
 * has whole numbers only: what is called seconds loses its fractions.
 */
const kinds = {
  container_blkio_device_usage_total: counter(
    'Bytes that a block device has read or written for the container.',
    'device',
    'major',
    'minor',
    'operation',
  ),
  container_cpu_cfs_periods_total: counter('Periods of CPU bandwidth control that have passed.'),
  container_cpu_cfs_throttled_periods_total: counter('Those in which the quota was used up.'),
  container_cpu_cfs_throttled_seconds_total: counter('How long tasks have waited for a new quota.'),
  container_cpu_system_seconds_total: counter('CPU time spent in the kernel.'),
  container_cpu_usage_seconds_total: counter('CPU time spent.', 'cpu'),
  container_cpu_user_seconds_total: counter('CPU time spent outside of the kernel.'),
  container_file_descriptors: gauge('Open file descriptors of all processes.'),
  container_fs_inodes_free: gauge('Free inodes of the file system that it writes to.', 'device'),
  container_fs_inodes_total: gauge('Inodes of the file system that it writes to.', 'device'),
  container_fs_limit_bytes: gauge('Size of the file system that it writes to.', 'device'),
  container_fs_reads_bytes_total: counter('Bytes read from a block device.', 'device'),
  container_fs_reads_total: counter('Reads from a block device.', 'device'),
  container_fs_usage_bytes: gauge('Bytes in the writable layer of the container.', 'device'),
  container_fs_writes_bytes_total: counter('Bytes written to a block device.', 'device'),
  container_fs_writes_total: counter('Writes to a block device.', 'device'),
  container_hugetlb_max_usage_bytes: gauge('The most bytes in huge pages so far.', 'pagesize'),
  container_hugetlb_usage_bytes: gauge('Bytes in huge pages.', 'pagesize'),
  container_last_seen: gauge('When the container was last looked at, in Unix time.'),
  container_memory_cache: gauge('Bytes of page cache.'),
  container_memory_failcnt: counter('How often the memory limit was reached.'),
  container_memory_failures_total: counter('Page faults.', 'failure_type', 'scope'),
  container_memory_kernel_usage: gauge("Bytes of the kernel's own for the container."),
  container_memory_mapped_file: gauge('Bytes of mapped files.'),
  container_memory_max_usage_bytes: gauge('The most bytes of memory so far.'),
  container_memory_rss: gauge('Bytes of anonymous memory.'),
  container_memory_swap: gauge('Bytes of swap.'),
  container_memory_total_active_file_bytes: gauge('Bytes of page cache that was used of late.'),
  container_memory_total_inactive_file_bytes: gauge('Bytes of page cache that was not.'),
  container_memory_usage_bytes: gauge('Bytes of memory, whatever they are used for.'),
  container_memory_working_set_bytes: gauge('Bytes of memory that can not be taken back at once.'),
  container_network_receive_bytes_total: counter('Bytes received.', 'interface'),
  container_network_receive_errors_total: counter('Errors while receiving.', 'interface'),
  container_network_receive_packets_dropped_total: counter(
    'Packets dropped while receiving.',
    'interface',
  ),
  container_network_receive_packets_total: counter('Packets received.', 'interface'),
  container_network_transmit_bytes_total: counter('Bytes sent.', 'interface'),
  container_network_transmit_errors_total: counter('Errors while sending.', 'interface'),
  container_network_transmit_packets_dropped_total: counter(
    'Packets dropped while sending.',
    'interface',
  ),
  container_network_transmit_packets_total: counter('Packets sent.', 'interface'),
  container_oom_events_total: counter('Processes that the kernel killed for want of memory.'),
  container_pressure_cpu_stalled_seconds_total: counter(
    'How long no task could run for want of CPU.',
  ),
  container_pressure_cpu_waiting_seconds_total: counter('How long some task waited for CPU.'),
  container_pressure_io_stalled_seconds_total: counter(
    'How long no task could run for want of I/O.',
  ),
  container_pressure_io_waiting_seconds_total: counter('How long some task waited for I/O.'),
  container_pressure_memory_stalled_seconds_total: counter(
    'How long no task could run for want of memory.',
  ),
  container_pressure_memory_waiting_seconds_total: counter('How long some task waited for memory.'),
  container_processes: gauge('Processes.'),
  container_sockets: gauge('Open sockets of all processes.'),
  container_spec_cpu_period: gauge('Period of the CPU quota, in microseconds.'),
  container_spec_cpu_quota: gauge(
    'CPU time in each period, in microseconds; absent without a limit.',
  ),
  container_spec_cpu_shares: gauge('Weight among others that want CPU time.'),
  container_spec_memory_limit_bytes: gauge('Memory limit; 0 without one.'),
  container_spec_memory_reservation_limit_bytes: gauge('Memory that is protected; 0 for none.'),
  container_spec_memory_swap_limit_bytes: gauge(
    'Limit of memory and swap together; 0 without one.',
  ),
  container_start_time_seconds: gauge('When the container was started, in Unix time.'),
  container_threads: gauge('Threads of all processes.'),
  container_threads_max: gauge('The most threads that it may have; 0 without a limit.'),
  container_ulimits_soft: gauge('Soft limits of its first process.', 'ulimit'),
} as const satisfies Readonly<Record<string, Kind>>;

export type MetricName = keyof typeof kinds;

/** One figure; the values of labels beside the base ones, in the order of the descriptor. */
export interface Sample {
  readonly name: MetricName;
  readonly value: bigint;
  readonly labels?: readonly string[];
}

export function metricTypeOf(name: MetricName): MetricType {
  return kinds[name].type;
}

/** Every metric that this runtime can tell. */
export function metricDescriptors(): MessageInitShape<typeof MetricDescriptorSchema>[] {
  return Object.entries<Kind>(kinds).map(([name, { help, labels }]) => ({
    name,
    help,
    labelKeys: [...baseLabels, ...labels],
  }));
}

/** The values of the base labels, in their order. */
export function baseValues(
  values: Readonly<Record<(typeof baseLabels)[number], string>>,
): string[] {
  return baseLabels.map((label) => values[label]);
}
