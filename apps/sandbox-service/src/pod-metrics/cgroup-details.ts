import { atLeastZero, type Pressure } from '../stats/cgroup-reading.ts';
import { figureOf, parseFigure, parsePressure } from '../stats/cgroup-texts.ts';

/** What metrics tell of a cgroup and all below it, beside what stats do. What the host can't tell is absent. */
export interface CgroupDetails {
  readonly cpu?: {
    readonly usageNanos: bigint;
    readonly userNanos: bigint;
    readonly systemNanos: bigint;
    readonly periods: bigint;
    readonly throttledPeriods: bigint;
    readonly throttledNanos: bigint;
  };
  /** In bytes. */
  readonly memory?: {
    readonly usage: bigint;
    readonly maxUsage: bigint;
    readonly workingSet: bigint;
    readonly cache: bigint;
    readonly rss: bigint;
    readonly swap: bigint;
    readonly kernel: bigint;
    readonly mappedFile: bigint;
    readonly activeFile: bigint;
    readonly inactiveFile: bigint;
    /** How often the limit was reached. */
    readonly limitHits: bigint;
    readonly oomKills: bigint;
    /** Of the cgroup alone, and with all below it. */
    readonly faults: { readonly own: Faults; readonly all: Faults };
  };
  /** Threads; without a limit `max` is 0. */
  readonly threads?: { readonly count: bigint; readonly max: bigint };
  readonly io: readonly DeviceIo[];
  readonly pressure: Readonly<Partial<Record<'cpu' | 'memory' | 'io', Pressure>>>;
}

export interface Faults {
  readonly minor: bigint;
  readonly major: bigint;
}

/** What went to and from one block device. */
export interface DeviceIo {
  /** `<major>:<minor>`. */
  readonly device: string;
  readonly readBytes: bigint;
  readonly writeBytes: bigint;
  readonly reads: bigint;
  readonly writes: bigint;
}

type Texts<Files> = Readonly<Record<keyof Files, string | undefined>>;

/** The files of cgroup v1, in their directories by controller. */
export const v1DetailFiles = {
  usage: { controller: 'cpuacct', name: 'cpuacct.usage' },
  times: { controller: 'cpuacct', name: 'cpuacct.stat' },
  bandwidth: { controller: 'cpu', name: 'cpu.stat' },
  memory: { controller: 'memory', name: 'memory.usage_in_bytes' },
  maxMemory: { controller: 'memory', name: 'memory.max_usage_in_bytes' },
  failures: { controller: 'memory', name: 'memory.failcnt' },
  kernel: { controller: 'memory', name: 'memory.kmem.usage_in_bytes' },
  stat: { controller: 'memory', name: 'memory.stat' },
  oom: { controller: 'memory', name: 'memory.oom_control' },
  ioBytes: { controller: 'blkio', name: 'blkio.throttle.io_service_bytes_recursive' },
  ios: { controller: 'blkio', name: 'blkio.throttle.io_serviced_recursive' },
  threads: { controller: 'pids', name: 'pids.current' },
  maxThreads: { controller: 'pids', name: 'pids.max' },
} as const;

/** USER_HZ, which is 100 on every architecture that Node runs on. */
const tickNanos = 10_000_000n;

/** Reads the figures of a v1 cgroup (Documentation/admin-guide/cgroup-v1). */
export function parseV1Details(texts: Texts<typeof v1DetailFiles>): CgroupDetails {
  const usageNanos = parseFigure(texts.usage);
  const times = (key: string): bigint => figureOf(texts.times ?? '', key) ?? 0n;
  const bandwidth = (key: string): bigint => figureOf(texts.bandwidth ?? '', key) ?? 0n;
  return {
    ...(usageNanos !== undefined && {
      cpu: {
        usageNanos,
        userNanos: times('user') * tickNanos,
        systemNanos: times('system') * tickNanos,
        periods: bandwidth('nr_periods'),
        throttledPeriods: bandwidth('nr_throttled'),
        throttledNanos: bandwidth('throttled_time'),
      },
    }),
    ...v1Memory(texts),
    ...threadsOf(texts.threads, texts.maxThreads),
    io: v1Io(texts.ioBytes ?? '', texts.ios ?? ''),
    pressure: {},
  };
}

function v1Memory(texts: Texts<typeof v1DetailFiles>): Pick<CgroupDetails, 'memory'> {
  const usage = parseFigure(texts.memory);
  if (usage === undefined) {
    return {};
  }
  const own = (key: string): bigint => figureOf(texts.stat ?? '', key) ?? 0n;
  const total = (key: string): bigint => own(`total_${key}`);
  return {
    memory: {
      usage,
      maxUsage: parseFigure(texts.maxMemory) ?? usage,
      workingSet: atLeastZero(usage - total('inactive_file')),
      cache: total('cache'),
      rss: total('rss'),
      swap: total('swap'),
      kernel: parseFigure(texts.kernel) ?? 0n,
      mappedFile: total('mapped_file'),
      activeFile: total('active_file'),
      inactiveFile: total('inactive_file'),
      limitHits: parseFigure(texts.failures) ?? 0n,
      oomKills: figureOf(texts.oom ?? '', 'oom_kill') ?? 0n,
      faults: {
        own: { minor: own('pgfault'), major: own('pgmajfault') },
        all: { minor: total('pgfault'), major: total('pgmajfault') },
      },
    },
  };
}

/** Lines such as `8:0 Read 4096`; the last one is a total. */
function v1Io(bytes: string, ios: string): DeviceIo[] {
  const of = (text: string, device: string, operation: string): bigint =>
    figureOf(text, `${device} ${operation}`) ?? 0n;
  const devices = new Set([...bytes.matchAll(/^(\d+:\d+) /gm)].map(([, device = '']) => device));
  return [...devices].map((device) => ({
    device,
    readBytes: of(bytes, device, 'Read'),
    writeBytes: of(bytes, device, 'Write'),
    reads: of(ios, device, 'Read'),
    writes: of(ios, device, 'Write'),
  }));
}

/** The files of a v2 cgroup. */
export const v2DetailFiles = {
  cpu: 'cpu.stat',
  memory: 'memory.current',
  maxMemory: 'memory.peak',
  stat: 'memory.stat',
  events: 'memory.events',
  swap: 'memory.swap.current',
  io: 'io.stat',
  threads: 'pids.current',
  maxThreads: 'pids.max',
  cpuPressure: 'cpu.pressure',
  memoryPressure: 'memory.pressure',
  ioPressure: 'io.pressure',
} as const;

/** Reads the figures of a v2 cgroup (Documentation/admin-guide/cgroup-v2.rst). */
export function parseV2Details(texts: Texts<typeof v2DetailFiles>): CgroupDetails {
  const micros = (key: string): bigint => (figureOf(texts.cpu ?? '', key) ?? 0n) * 1000n;
  const count = (key: string): bigint => figureOf(texts.cpu ?? '', key) ?? 0n;
  const [cpu, memory, io] = [texts.cpuPressure, texts.memoryPressure, texts.ioPressure].map(
    parsePressure,
  );
  return {
    ...(texts.cpu !== undefined && {
      cpu: {
        usageNanos: micros('usage_usec'),
        userNanos: micros('user_usec'),
        systemNanos: micros('system_usec'),
        periods: count('nr_periods'),
        throttledPeriods: count('nr_throttled'),
        throttledNanos: micros('throttled_usec'),
      },
    }),
    ...v2Memory(texts),
    ...threadsOf(texts.threads, texts.maxThreads),
    io: v2Io(texts.io ?? ''),
    pressure: { ...(cpu && { cpu }), ...(memory && { memory }), ...(io && { io }) },
  };
}

function v2Memory(texts: Texts<typeof v2DetailFiles>): Pick<CgroupDetails, 'memory'> {
  const usage = parseFigure(texts.memory);
  if (usage === undefined) {
    return {};
  }
  const stat = (key: string): bigint => figureOf(texts.stat ?? '', key) ?? 0n;
  const event = (key: string): bigint => figureOf(texts.events ?? '', key) ?? 0n;
  // The sum has a name of its own since Linux 5.18.
  const kernel =
    figureOf(texts.stat ?? '', 'kernel') ??
    stat('kernel_stack') + stat('pagetables') + stat('percpu') + stat('sock') + stat('slab');
  const faults = { minor: stat('pgfault'), major: stat('pgmajfault') };
  return {
    memory: {
      usage,
      // Since Linux 5.19.
      maxUsage: parseFigure(texts.maxMemory) ?? usage,
      workingSet: atLeastZero(usage - stat('inactive_file')),
      cache: stat('file'),
      rss: stat('anon'),
      swap: parseFigure(texts.swap) ?? 0n,
      kernel,
      mappedFile: stat('file_mapped'),
      activeFile: stat('active_file'),
      inactiveFile: stat('inactive_file'),
      limitHits: event('max'),
      oomKills: event('oom_kill'),
      faults: { own: faults, all: faults },
    },
  };
}

/** Lines such as `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`. */
function v2Io(text: string): DeviceIo[] {
  return text.split('\n').flatMap((line) => {
    const device = /^\d+:\d+(?= )/.exec(line)?.[0];
    const of = (key: string): bigint => BigInt(new RegExp(` ${key}=(\\d+)`).exec(line)?.[1] ?? 0);
    return device === undefined
      ? []
      : [
          {
            device,
            readBytes: of('rbytes'),
            writeBytes: of('wbytes'),
            reads: of('rios'),
            writes: of('wios'),
          },
        ];
  });
}

function threadsOf(
  count: string | undefined,
  max: string | undefined,
): Pick<CgroupDetails, 'threads'> {
  const threads = parseFigure(count);
  return threads === undefined ? {} : { threads: { count: threads, max: parseFigure(max) ?? 0n } };
}
