import type { OciResources } from '@gantry/oci';
import type { UserMappings } from '@gantry/oci-spec';

/*
 * What sandbox-service needs of the world. Everything here is idempotent on the
 * way down: to detach, kill or delete what is gone already is a success.
 */

/** One process, told apart from a later one with the same pid by its start time. */
export interface ProcessId {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat, in clock ticks since boot. */
  readonly startTime: string;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface PortMapping {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIp: string;
}

/** What network plugins are told of a pod. */
export interface PodNetwork {
  readonly sandboxId: string;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly netnsPath: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** Only those with a host port. */
  readonly portMappings: readonly PortMapping[];
  readonly cgroupParent: string;
  readonly dns?: {
    readonly servers: readonly string[];
    readonly searches: readonly string[];
    readonly options: readonly string[];
  };
}

/** A pod that has been attached; stored as JSON, so that a later DEL sees what ADD saw. */
export interface Attachment {
  /** Without prefix length, the primary one first. */
  readonly ips: readonly string[];
  /** The result of the last plugin (CNI spec 1.0, section 5). */
  readonly result: unknown;
  /** The network configuration list that was used. */
  readonly config: unknown;
}

export interface NetworkStatus {
  readonly ready: boolean;
  /** Empty when ready; else a CamelCase reason as the CRI wants it. */
  readonly reason: string;
  readonly message: string;
}

/** Pod networking (CNI spec 1.0). */
export interface Network {
  /**
   * The configuration that `attach` would use now, to be recorded before the
   * first host change. Throws `failed-precondition` when there is none.
   */
  plan(): Promise<unknown>;
  /** Runs ADD through the chain. On failure or abort it has run DEL, and throws with the plugin's name and words. */
  attach(pod: PodNetwork, config: unknown, options?: CallOptions): Promise<Attachment>;
  /** Runs DEL through the chain in reverse; works without a netns and after a half-done ADD. */
  detach(
    pod: PodNetwork,
    used: { config: unknown; result?: unknown },
    options?: CallOptions,
  ): Promise<void>;
  /** Cheap: read at every Status call. */
  status(): NetworkStatus;
  /** The configuration in force and where it comes from, for the eyes of an operator. */
  describe(): unknown;
  /**
   * The ranges of the node, as a kubelet tells them: where a template is
   * configured and nobody else has brought a configuration, one is made of it.
   * Throws `invalid-argument` for what are no ranges, `failed-precondition` for
   * a template that can't be used.
   */
  setPodCidr(podCidr: string): Promise<void>;
  /**
   * Detaches the pods that are not known, after their records were lost, and has
   * plugins (CNI 1.1) forget what they know beyond the others. Returns who was detached.
   */
  collect(isKnown: (sandboxId: string) => boolean): Promise<readonly string[]>;
}

/** A runtime handler as probed at start. */
export interface RuntimeHandler {
  readonly name: string;
  /** Absolute path of the OCI runtime binary. */
  readonly path: string;
  readonly systemdCgroup: boolean;
  readonly privilegedWithoutHostDevices: boolean;
  /** The output of `<runtime> features`, where it has that. */
  readonly features?: unknown;
  /** Why it can't run containers on this host; absent when it can. */
  readonly unusable?: string;
  /** Why its pods can't have a user namespace of their own; absent when they can. */
  readonly noUserNamespaces?: string;
}

/** What conmon is told of a container. */
export interface ContainerLaunch {
  readonly id: string;
  readonly name: string;
  readonly handler: RuntimeHandler;
  /** Holds config.json, and what conmon keeps: pid files, attach socket, ctl. */
  readonly bundleDir: string;
  /** Where CRI log lines go; absent discards them. */
  readonly logPath?: string;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  /** Where a checkpoint of its processes lies: they go on from there, started already. */
  readonly restoreFrom?: string;
}

export interface ContainerExit {
  readonly exitCode: number;
  readonly finishedAtNanos: bigint;
  readonly oomKilled: boolean;
}

/** Containers of an OCI runtime, each held by a conmon that outlives this service. */
export interface Runtime {
  /**
   * Starts conmon and has it create the container (OCI runtime spec, lifecycle
   * step 2 to 5). Throws with the runtime's own words; nothing is left then.
   */
  create(
    launch: ContainerLaunch,
    options?: CallOptions,
  ): Promise<{ init: ProcessId; monitor: ProcessId }>;
  /** Runs the user's program in a created container. */
  start(handler: RuntimeHandler, id: string, options?: CallOptions): Promise<void>;
  /**
   * Changes the limits of a running container. Throws `failed-precondition`
   * with the runtime's words; some of the limits may hold then.
   */
  update(
    handler: RuntimeHandler,
    id: string,
    limits: OciResources,
    options?: CallOptions,
  ): Promise<void>;
  /**
   * Saves the processes of a running container, which runs on. Throws
   * `failed-precondition` with the reason where that can't be done.
   */
  checkpoint(
    handler: RuntimeHandler,
    id: string,
    paths: { readonly imageDir: string; readonly workDir: string },
    options?: CallOptions,
  ): Promise<void>;
  /** Sends a signal to the container's first process; false when it is gone. */
  signal(init: ProcessId, signal: number): Promise<boolean>;
  /** Kills every process of a container, also where there is no record of its pid, and waits for its conmon. */
  killAll(
    handler: RuntimeHandler,
    id: string,
    init?: ProcessId,
    monitor?: ProcessId,
  ): Promise<void>;
  /** Removes what the runtime keeps of a stopped container, and its exit record. */
  delete(handler: RuntimeHandler, id: string): Promise<void>;
  /** Opens the log file anew after a rotation; resolves when the new file is there. */
  reopenLog(bundleDir: string, logPath: string): Promise<void>;
  /** How a container ended, as conmon wrote it down; undefined while it runs or when nothing is known. */
  exitOf(id: string, bundleDir: string): Promise<ContainerExit | undefined>;
  /** Every container id that this handler knows of: for reconciliation. */
  list(handler: RuntimeHandler): Promise<readonly string[]>;
  /** Calls back with the id of each container whose exit record appears, those already there included. */
  watchExits(onExit: (id: string) => void): Promise<AsyncDisposable>;
}

/** An image and the directories of one root file system, as image-service hands them out. */
export interface PreparedRoot {
  readonly image: {
    readonly id: string;
    readonly repoTags: readonly string[];
    readonly repoDigests: readonly string[];
    readonly configJson: Uint8Array;
  };
  readonly lowerDirs: readonly string[];
  readonly upperDir: string;
  readonly workDir: string;
}

/** Root file systems, owned by image-service. */
export interface RootFilesystems {
  prepare(
    ownerId: string,
    image: string,
    options?: CallOptions & {
      readonly pullIfMissing?: boolean;
      /** Nothing will be written: there is no upper directory. */
      readonly readOnly?: boolean;
      /** Of the user namespace that the owner shows it in. */
      readonly mappings?: UserMappings;
    },
  ): Promise<PreparedRoot>;
  release(ownerId: string, options?: CallOptions): Promise<void>;
  list(options?: CallOptions): Promise<readonly string[]>;
}

/** How the lower directories of an image are shown. */
export interface LayerView {
  /** Ids as this user namespace has them; as they are without. */
  readonly userNamespace?: string;
  /** Used for the time of the call; `releaseAll` of it repairs a crash. */
  readonly stagingDir?: string;
  /** The SELinux label of every file, whatever the layers say. */
  readonly label?: string;
}

/** Mounts in the host's own mount namespace. */
export interface Mounts {
  /** Lower directories topmost first. */
  overlay(
    mount: {
      readonly lowerDirs: readonly string[];
      readonly upperDir: string;
      readonly workDir: string;
      readonly target: string;
    } & LayerView,
  ): Promise<void>;
  /** The lower directories alone, read-only. */
  layers(
    mount: {
      readonly lowerDirs: readonly string[];
      readonly target: string;
    } & LayerView,
  ): Promise<void>;
  /**
   * A host path, and all that is mounted below it, with its ids as the user
   * namespace has them. `target` is made, in a directory that exists. What is
   * done to this mount never reaches the host path.
   */
  shifted(mount: {
    readonly source: string;
    readonly target: string;
    readonly userNamespace: string;
    readonly isFile: boolean;
    /** Later mounts below the host path appear here too. */
    readonly followsHost: boolean;
  }): Promise<void>;
  /**
   * Unmounts whatever is mounted on the entries of a directory and removes these
   * and it, never anything that they show. No such directory is a success.
   */
  releaseAll(directory: string): Promise<void>;
  tmpfs(mount: {
    readonly target: string;
    readonly sizeBytes: number;
    readonly mode: number;
    /** The SELinux label of every file. */
    readonly label?: string;
  }): Promise<void>;
  /** Gives a file, or a directory with all in it, an SELinux label; follows no link. */
  relabel(path: string, label: string, options?: CallOptions): Promise<void>;
  /** Whether the SELinux policy in force has such a label. */
  knowsLabel(label: string): Promise<boolean>;
  /** Everything that is mounted on `target`; nothing there is a success. */
  unmount(target: string): Promise<void>;
}

/** `length` ids from `containerId` on are those from `hostId` on outside. */
export interface IdRange {
  readonly containerId: number;
  readonly hostId: number;
  readonly length: number;
}

/** Namespaces to be made together: those with a path, which is where they are pinned. */
export interface PinnedNamespaces {
  readonly network?: string;
  readonly ipc?: string;
  readonly uts?: string;
  readonly hostname?: string;
  /** One that is of none of these namespaces is `invalid-argument`. */
  readonly sysctls?: Readonly<Record<string, string>>;
  /** Where a writable sysfs of the network is mounted. */
  readonly sysfs?: string;
}

/** Namespaces, kept alive by files. */
export interface Namespaces {
  create(namespaces: PinnedNamespaces): Promise<void>;
  /** Sets host name, sysctls and sysfs in those that are pinned already. */
  configure(namespaces: PinnedNamespaces): Promise<void>;
  /** Of any kind. */
  remove(path: string): Promise<void>;
  isPinned(path: string): Promise<boolean>;
  /** Makes a user namespace, and others that belong to it, a network with its loopback up, each pinned at its path. */
  createUsers(
    paths: {
      readonly user: string;
      readonly network?: string;
      readonly ipc?: string;
      readonly uts?: string;
    },
    mappings: { readonly uids: readonly IdRange[]; readonly gids: readonly IdRange[] },
  ): Promise<void>;
  /** Makes one with its loopback up, pinned at `path`; the directory is there. */
  createNetns(path: string): Promise<void>;
  removeNetns(path: string): Promise<void>;
}

/** Locks that the kernel drops when their holder dies. */
export interface Locks {
  lock(path: string, options?: CallOptions): Promise<AsyncDisposable>;
  /** Undefined when another holds it. */
  tryLock(path: string): AsyncDisposable | undefined;
}

export interface Processes {
  /** False for a zombie. */
  isRunning(process: ProcessId): Promise<boolean>;
  /** Resolves when it has ended, at once if it has already; the kernel tells. */
  waitForExit(process: ProcessId, options?: CallOptions): Promise<void>;
  /** The cpus and memory nodes that it may use, as lists such as `0-3`; empty when it is gone. */
  allowance(process: ProcessId): Promise<{ readonly cpus: string; readonly mems: string }>;
  /** As `allowance`, for processes in the cgroup at this path below the hierarchies' roots. */
  allowanceIn(cgroupPath: string): Promise<{ readonly cpus: string; readonly mems: string }>;
}

/** The wall clock, in nanoseconds since the epoch; no finer than the milliseconds of events. */
export type Clock = () => bigint;
