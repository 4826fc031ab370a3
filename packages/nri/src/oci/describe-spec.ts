import type { MessageInitShape } from '@bufbuild/protobuf';
import type { OciHook, OciResources, OciSpec } from '@gantry/oci';
import type {
  ContainerSchema,
  HookSchema,
  LinuxContainerSchema,
  LinuxResourcesSchema,
} from '@gantry/proto/nri';

type ContainerShape = MessageInitShape<typeof ContainerSchema>;

/** The fields of an NRI container that follow from its config.json. */
export type SpecShape = Pick<
  ContainerShape,
  'args' | 'env' | 'mounts' | 'hooks' | 'linux' | 'rlimits' | 'annotations' | 'user'
>;

/** What plugins are shown of config.json. */
export function describeSpec(spec: OciSpec): SpecShape {
  const { process, mounts, hooks, annotations } = spec;
  return {
    args: process.args,
    env: process.env,
    annotations: { ...annotations },
    user: {
      uid: process.user.uid,
      gid: process.user.gid,
      additionalGids: process.user.additionalGids ?? [],
    },
    mounts: mounts.map(({ destination, type = '', source = '', options = [] }) => ({
      destination,
      type,
      source,
      options,
    })),
    ...(hooks && {
      hooks: Object.fromEntries(
        Object.entries(hooks).map(([list, entries]: [string, OciHook[]]) => [
          list,
          entries.map(describeHook),
        ]),
      ),
    }),
    rlimits: (process.rlimits ?? []).map(({ type, soft, hard }) => ({
      type,
      soft: bigOf(soft),
      hard: bigOf(hard),
    })),
    linux: describeLinux(spec),
  };
}

/** The limits of config.json, as plugins are shown them. */
export function describeResources(
  resources: OciResources,
): MessageInitShape<typeof LinuxResourcesSchema> {
  const { memory, cpu, pids, hugepageLimits = [], unified = {}, devices = [] } = resources;
  return {
    ...(memory && {
      memory: {
        ...value('limit', memory.limit),
        ...value('reservation', memory.reservation),
        ...value('swap', memory.swap),
        ...value('kernel', memory.kernel),
        ...value('kernelTcp', memory.kernelTCP),
        ...value('swappiness', memory.swappiness),
        ...(memory.disableOOMKiller !== undefined && {
          disableOomKiller: { value: memory.disableOOMKiller },
        }),
        ...(memory.useHierarchy !== undefined && { useHierarchy: { value: memory.useHierarchy } }),
      },
    }),
    ...(cpu && {
      cpu: {
        ...value('shares', cpu.shares),
        ...value('quota', cpu.quota),
        ...value('period', cpu.period),
        ...value('realtimeRuntime', cpu.realtimeRuntime),
        ...value('realtimePeriod', cpu.realtimePeriod),
        cpus: cpu.cpus ?? '',
        mems: cpu.mems ?? '',
      },
    }),
    ...(pids && { pids: { limit: bigOf(pids.limit) } }),
    hugepageLimits: hugepageLimits.map(({ pageSize, limit }) => ({
      pageSize,
      limit: bigOf(limit),
    })),
    unified: { ...unified },
    devices: devices.map(({ allow, type = '', major, minor, access = '' }) => ({
      allow,
      type,
      access,
      ...value('major', major),
      ...value('minor', minor),
    })),
  };
}

function describeLinux({ linux, process }: OciSpec): MessageInitShape<typeof LinuxContainerSchema> {
  const { namespaces, devices = [], resources, cgroupsPath = '', sysctl = {} } = linux;
  return {
    namespaces: namespaces.map(({ type, path = '' }) => ({ type, path })),
    devices: devices.map(({ type, path, major = 0, minor = 0, fileMode, uid, gid }) => ({
      type,
      path,
      major: BigInt(major),
      minor: BigInt(minor),
      ...(fileMode !== undefined && { fileMode: { value: fileMode } }),
      ...(uid !== undefined && { uid: { value: uid } }),
      ...(gid !== undefined && { gid: { value: gid } }),
    })),
    ...(resources && { resources: describeResources(resources) }),
    ...(process.oomScoreAdj !== undefined && {
      oomScoreAdj: { value: BigInt(process.oomScoreAdj) },
    }),
    cgroupsPath,
    sysctl: { ...sysctl },
  };
}

function describeHook({
  path,
  args = [],
  env = [],
  timeout,
}: OciHook): MessageInitShape<typeof HookSchema> {
  return {
    path,
    args,
    env,
    ...(timeout !== undefined && { timeout: { value: BigInt(timeout) } }),
  };
}

function value<K extends string>(
  name: K,
  number: number | undefined,
): { [P in K]?: { value: bigint } } {
  return (number === undefined ? {} : { [name]: { value: bigOf(number) } }) as {
    [P in K]?: { value: bigint };
  };
}

/** Also one that was put there as digits, or has lost its last ones. */
function bigOf(number: number): bigint {
  const raw: unknown = number;
  if (typeof raw === 'object' && raw !== null && 'rawJSON' in raw) {
    return BigInt(String(raw.rawJSON));
  }
  const most = (1n << 64n) - 1n;
  const big = BigInt(Math.trunc(number));
  return big > most ? most : big;
}
