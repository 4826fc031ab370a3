import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  ContainerAdjustmentSchema,
  ContainerEvictionSchema,
  ContainerUpdateSchema,
  HookSchema,
  LinuxDeviceSchema,
  LinuxResourcesSchema,
  MountSchema,
} from '@gantry/proto/nri';
import { removalOf } from '../owners.ts';

/** A number of the protocol; bigint where it is above 2^53. */
type Count = number | bigint;

/** Limits; what is left out stays as it is. */
export interface Limits {
  /** Such as "0-3,8". */
  readonly cpus?: string;
  /** NUMA nodes, such as "0". */
  readonly mems?: string;
  readonly cpuShares?: Count;
  /** Microseconds in each period; -1 is unlimited. */
  readonly cpuQuota?: Count;
  readonly cpuPeriod?: Count;
  readonly memoryBytes?: Count;
  readonly memorySwapBytes?: Count;
  readonly memoryReservationBytes?: Count;
  readonly pids?: Count;
  /** Bytes by page size, such as { '2MB': 4194304 }. */
  readonly hugepages?: Readonly<Record<string, Count>>;
  /** cgroup v2 files. */
  readonly unified?: Readonly<Record<string, string>>;
}

/** A device file; those of its kind may then be used. */
export interface Device {
  readonly path: string;
  readonly type: 'c' | 'b' | 'p' | 'u';
  readonly major?: number;
  readonly minor?: number;
  /** Permission bits, such as 0o600. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** What a plugin wants of a container that is about to be made. null removes. */
export interface Adjustment {
  readonly annotations?: Readonly<Record<string, string | null>>;
  readonly env?: Readonly<Record<string, string | null>>;
  /** By the path in the container. */
  readonly mounts?: Readonly<
    Record<
      string,
      {
        readonly source: string;
        readonly type?: string;
        readonly options?: readonly string[];
      } | null
    >
  >;
  /** By their path; null removes. */
  readonly devices?: readonly Device[];
  readonly removeDevices?: readonly string[];
  /** In place of the command; also where another plugin has set one. */
  readonly args?: readonly string[];
  /** By type, such as RLIMIT_NOFILE. */
  readonly rlimits?: Readonly<Record<string, { readonly soft: Count; readonly hard: Count }>>;
  readonly cdiDevices?: readonly string[];
  readonly hooks?: Readonly<
    Partial<
      Record<
        | 'createRuntime'
        | 'createContainer'
        | 'startContainer'
        | 'poststart'
        | 'poststop'
        | 'prestart',
        readonly {
          readonly path: string;
          readonly args?: readonly string[];
          readonly env?: readonly string[];
          readonly timeoutSeconds?: number;
        }[]
      >
    >
  >;
  readonly limits?: Limits;
  readonly oomScoreAdj?: number;
  readonly cgroupsPath?: string;
  readonly sysctl?: Readonly<Record<string, string | null>>;
  /** Anything else, in the words of the protocol; what is above wins. */
  readonly raw?: MessageInitShape<typeof ContainerAdjustmentSchema>;
}

/** A change of another container. */
export interface Update {
  readonly containerId: string;
  readonly limits: Limits;
  /** The request that it comes with goes on when this can't be done. */
  readonly ignoreFailure?: boolean;
}

export interface Eviction {
  readonly containerId: string;
  readonly reason: string;
}

type AdjustmentShape = MessageInitShape<typeof ContainerAdjustmentSchema>;

/** The message of an adjustment. */
export function adjustmentMessage(adjustment: Adjustment): AdjustmentShape {
  const { annotations = {}, env = {}, mounts = {}, args, rlimits = {}, raw } = adjustment;
  const hooks = hooksOf(adjustment.hooks);
  const linux = linuxOf(adjustment);
  return {
    ...(raw as object),
    annotations: marked(annotations),
    env: Object.entries(marked(env)).map(([key, value]) => ({ key, value })),
    mounts: Object.entries(mounts).map(([destination, mount]) =>
      mount === null ? { destination: removalOf(destination) } : mountOf(destination, mount),
    ),
    ...(args && { args: ['', ...args] }),
    rlimits: Object.entries(rlimits).map(([type, { soft, hard }]) => ({
      type,
      soft: BigInt(soft),
      hard: BigInt(hard),
    })),
    CDIDevices: (adjustment.cdiDevices ?? []).map((name) => ({ name })),
    ...(hooks && { hooks }),
    ...(linux && { linux }),
  };
}

/** The message of an update. */
export function updateMessage(update: Update): MessageInitShape<typeof ContainerUpdateSchema> {
  return {
    containerId: update.containerId,
    ignoreFailure: update.ignoreFailure ?? false,
    linux: { resources: limitsMessage(update.limits) },
  };
}

export function evictionMessage(
  eviction: Eviction,
): MessageInitShape<typeof ContainerEvictionSchema> {
  return { ...eviction };
}

/** The message of limits. */
export function limitsMessage(limits: Limits): MessageInitShape<typeof LinuxResourcesSchema> {
  const { cpus = '', mems = '', pids, hugepages = {}, unified = {} } = limits;
  return {
    cpu: {
      cpus,
      mems,
      ...wrapped('shares', limits.cpuShares),
      ...wrapped('quota', limits.cpuQuota),
      ...wrapped('period', limits.cpuPeriod),
    },
    memory: {
      ...wrapped('limit', limits.memoryBytes),
      ...wrapped('swap', limits.memorySwapBytes),
      ...wrapped('reservation', limits.memoryReservationBytes),
    },
    ...(pids !== undefined && { pids: { limit: BigInt(pids) } }),
    hugepageLimits: Object.entries(hugepages).map(([pageSize, limit]) => ({
      pageSize,
      limit: BigInt(limit),
    })),
    unified: { ...unified },
  };
}

function linuxOf(adjustment: Adjustment): AdjustmentShape['linux'] | undefined {
  const { devices = [], removeDevices = [], limits, oomScoreAdj, cgroupsPath, sysctl } = adjustment;
  const linux = {
    ...(adjustment.raw?.linux as object | undefined),
    ...(devices.length + removeDevices.length > 0 && {
      devices: [
        ...removeDevices.map((path) => ({ path: removalOf(path) })),
        ...devices.map(deviceOf),
      ],
    }),
    ...(limits && { resources: limitsMessage(limits) }),
    ...(oomScoreAdj !== undefined && { oomScoreAdj: { value: BigInt(oomScoreAdj) } }),
    ...(cgroupsPath !== undefined && { cgroupsPath }),
    ...(sysctl && { sysctl: marked(sysctl) }),
  };
  return Object.keys(linux).length === 0 ? undefined : linux;
}

function mountOf(
  destination: string,
  mount: { readonly source: string; readonly type?: string; readonly options?: readonly string[] },
): MessageInitShape<typeof MountSchema> {
  const { source, type = 'bind', options = ['rbind', 'ro'] } = mount;
  return { destination, source, type, options: [...options] };
}

function deviceOf(device: Device): MessageInitShape<typeof LinuxDeviceSchema> {
  const { path, type, major = 0, minor = 0, mode, uid, gid } = device;
  return {
    path,
    type,
    major: BigInt(major),
    minor: BigInt(minor),
    ...(mode !== undefined && { fileMode: { value: mode } }),
    ...(uid !== undefined && { uid: { value: uid } }),
    ...(gid !== undefined && { gid: { value: gid } }),
  };
}

function hooksOf(hooks: Adjustment['hooks']): AdjustmentShape['hooks'] | undefined {
  if (hooks === undefined) {
    return undefined;
  }
  return Object.fromEntries(
    Object.entries(hooks).map(([list, entries]) => [
      list,
      entries.map(
        ({ path, args = [], env = [], timeoutSeconds }): MessageInitShape<typeof HookSchema> => ({
          path,
          args: [...args],
          env: [...env],
          ...(timeoutSeconds !== undefined && { timeout: { value: BigInt(timeoutSeconds) } }),
        }),
      ),
    ]),
  );
}

/** null becomes the mark of a removal. */
function marked(entries: Readonly<Record<string, string | null>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(entries).map(([key, value]) =>
      value === null ? [removalOf(key), ''] : [key, value],
    ),
  );
}

function wrapped<K extends string>(
  name: K,
  value: Count | undefined,
): { [P in K]?: { value: bigint } } {
  return (value === undefined ? {} : { [name]: { value: BigInt(value) } }) as {
    [P in K]?: { value: bigint };
  };
}
