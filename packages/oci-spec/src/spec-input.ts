import type { ImageConfig, OciDevice, OciRlimit } from '@gantry/oci';
import type { ContainerConfig, Mount, PodSandboxConfig } from '@gantry/proto';
import type { KernelVersion } from './kernel-version.ts';
import type { SeccompProfile } from './seccomp/profile.ts';

/** What the host and the runtime handler can do. Gathered once at start, except what says otherwise. */
export interface HostFacts {
  /** Of uname -r, such as {major: 6, minor: 1}. */
  readonly kernel: KernelVersion;
  /** As Node's process.arch says it. */
  readonly arch: string;
  /** A hybrid host counts as v1: its controllers are there. */
  readonly cgroupVersion: 1 | 2;
  /** Page sizes that the hugetlb controller can limit, such as 2MB; empty without the controller. */
  readonly hugepageSizes: readonly string[];
  /** The memory controller counts swap too. */
  readonly swapAccounting: boolean;
  readonly seccomp: boolean;
  /** Absent where AppArmor is off. `profiles` are the names loaded now: read at each create. */
  readonly appArmor?: { readonly defaultProfile: string; readonly profiles: readonly string[] };
  /** SELinux is on, and pods are to have labels. */
  readonly selinux: boolean;
  /** Capabilities in this process's own permitted set (CapPrm), with CAP_: what ALL and privileged mean. */
  readonly capabilities: readonly string[];
  /** The lowest oom_score_adj that may be given: -1000, or our own score without CAP_SYS_RESOURCE. */
  readonly lowestOomScoreAdj: number;
  /** The highest hard limit of open files that may be given: fs.nr_open, or our own hard limit without CAP_SYS_RESOURCE. */
  readonly maxOpenFiles: number;
  /** Device nodes under /dev, for privileged containers: read at each create of one. */
  readonly devices: readonly OciDevice[];
  /** The handler can make a mount and all below it read-only: kernel 5.12 and `rro` in `<runtime> features`. */
  readonly recursiveReadOnly: boolean;
  /** The handler can shift the owners of a mount: `mountExtensions.idmap` in `<runtime> features`. */
  readonly idmapMounts: boolean;
}

/** The parts of an image's config that shape a container. */
export type ImageDefaults = Pick<
  ImageConfig,
  'user' | 'env' | 'entrypoint' | 'cmd' | 'workingDir' | 'stopSignal'
>;

/** The pod that a container joins, as sandbox-service has made it. All paths are absolute and of the host. */
export interface SandboxFacts {
  readonly id: string;
  readonly config: PodSandboxConfig;
  /** What the container finds as HOSTNAME: the pod's, or the node's for pods on the host network. */
  readonly hostname: string;
  /** The cgroup that container cgroups go under; from the CRI, else the configured default. */
  readonly cgroupParent: string;
  readonly systemdCgroup: boolean;
  /** The pod's namespaces, by path; see `namespacesOfPid`. A missing one is the host's. */
  readonly namespaces: PodNamespaces;
  /** Files of the pod that appear under /etc; a missing one leaves the image's own. */
  readonly hostnamePath?: string;
  readonly hostsPath?: string;
  readonly resolvConfPath?: string;
  /** The pod's shared memory directory; not looked at for pods on the host's IPC namespace. */
  readonly shmPath: string;
}

export interface PodNamespaces {
  readonly network?: string;
  readonly ipc?: string;
  readonly uts?: string;
  /** Only looked at where the container shares the pod's processes. */
  readonly pid?: string;
  readonly user?: string;
}

/** A CRI mount whose source was looked up on the host. */
export interface ResolvedMount {
  readonly request: Mount;
  /** The real host path behind `host_path`, symlinks followed; for an image volume its mounted directory. */
  readonly source: string;
  /** `source` shows its ids as they shall be: the runtime is not to map them. */
  readonly idsMapped?: boolean;
  /** How the mount that holds `source` propagates (mountinfo: shared:N, master:N); needed unless PRIVATE is asked for. */
  readonly propagation?: { readonly shared: boolean; readonly slave: boolean };
}

/** One device node for the container; a CRI device that names a directory gives one for each node in it. */
export interface ResolvedDevice {
  /** Its path, type and numbers inside the container. */
  readonly device: OciDevice;
  /** Some of r, w and m. */
  readonly permissions: string;
}

/** SELinux labels, made by `podLabels` and `containerLabels`. */
export interface SelinuxLabels {
  readonly process: string;
  readonly mount: string;
}

interface SpecInput {
  readonly host: HostFacts;
  readonly image: ImageDefaults;
  /** Of the mounted root file system. */
  readonly rootPath: string;
  /** Text of the image's /etc/passwd and /etc/group; '' where it has none. */
  readonly passwd: string;
  readonly group: string;
  /** The profile in the file that `seccompRequestOf` names, if it names one; read by `parseSeccompProfile`. */
  readonly localhostSeccomp?: SeccompProfile;
  readonly selinux?: SelinuxLabels;
  /** Soft and hard limit of open files; 0 leaves our own. Lowered to what the host allows. */
  readonly openFiles: number;
}

/** All that the spec of a container depends on. */
export interface ContainerSpecInput extends SpecInput {
  readonly id: string;
  readonly config: ContainerConfig;
  readonly sandbox: SandboxFacts;
  /** `config.mounts`, one by one. */
  readonly mounts: readonly ResolvedMount[];
  /** Directories for the image's VOLUMEs: container path and host directory. */
  readonly volumes: readonly { readonly containerPath: string; readonly source: string }[];
  /** `config.devices`, resolved to nodes. */
  readonly devices: readonly ResolvedDevice[];
  /** The PID namespace of the container named by target_id, for mode TARGET. */
  readonly targetPidNamespace?: string;
  readonly privilegedWithoutHostDevices?: boolean;
  /** Devices belong to run_as_user and run_as_group, as far as these are given. */
  readonly deviceOwnershipFromSecurityContext?: boolean;
  /** Beside the open files. */
  readonly rlimits?: readonly OciRlimit[];
  /** The most processes, 0 or absent: no limit of its own. The CRI has no field for it. */
  readonly pidsLimit?: number;
}

/** All that the spec of a pod's pause container depends on. */
export interface PauseSpecInput extends SpecInput {
  readonly sandbox: SandboxFacts;
  /** Let the pod bind ports below 1024 and send ICMP echo without capabilities. */
  readonly unprivilegedPorts: boolean;
  readonly unprivilegedIcmp: boolean;
}
