import type { Duplex, Readable, Writable } from 'node:stream';

/** A container that a process can be started in. */
export interface ExecTarget {
  /** The full id. */
  readonly containerId: string;
  /** The OCI runtime: its binary, and the arguments that go before the verb. */
  readonly runtimePath: string;
  readonly runtimeArgs: readonly string[];
  /** Of the container's first process; 0 when that is not known. */
  readonly pid: number;
  /** The `process` object of the container's config.json. */
  readonly processJson: Uint8Array;
}

/** Knows containers. */
export interface Targets {
  /**
   * The target of a container id or unique prefix. Throws `not-found` for an
   * unknown one and `failed-precondition` for one that does not run. May tell
   * what it was told some time ago unless `fresh` is set: a container that has
   * ended since is for the runtime to refuse.
   */
  find(
    containerId: string,
    options: { readonly signal: AbortSignal; readonly fresh?: boolean },
  ): Promise<ExecTarget>;
}

/** How an exec ended. */
export type ExecExit =
  | { readonly started: true; readonly exitCode: number }
  /** The process never ran; `words` is what the runtime said to that. */
  | { readonly started: false; readonly words: string };

/** One process in a container, with its outputs being read. */
export interface RunningExec extends AsyncDisposable {
  /** The process itself has ended, whoever holds its outputs. Rejects when the runtime does not keep to its contract. */
  readonly exited: Promise<ExecExit>;
  /** Nobody holds the outputs open any more. Never rejects. */
  readonly drained: Promise<void>;
  /** What has been read up to now. */
  output(): { readonly stdout: Uint8Array; readonly stderr: Uint8Array };
  /** Kills the process and what it started, as far as that can be told; resolves once it is reaped. */
  kill(): Promise<void>;
}

/** Starts processes in containers. Disposing of one stops reading and removes its files. */
export interface Runtime {
  exec(target: ExecTarget, command: readonly string[]): RunningExec;
}

/** Which streams of a process somebody is there for. */
export interface ExecStreams {
  readonly stdin: boolean;
  readonly tty: boolean;
}

/** A process in a container with its streams open. Whoever has it reads them to their end. */
export interface StreamedExec extends AsyncDisposable {
  /** Its end is the end of the process's input; always there with a terminal, whose input has none. */
  readonly stdin?: Writable;
  readonly stdout: Readable;
  /** Absent with a terminal. Without the words of a runtime that could not start the process. */
  readonly stderr?: Readable | undefined;
  /** As `RunningExec` has it. */
  readonly exited: Promise<ExecExit>;
  /** Of its terminal, in characters; without one nothing. */
  resize(rows: number, columns: number): void;
  /** Tells the process that its client has gone. It may live on. */
  hangUp(): Promise<void>;
  /** As `RunningExec` has it. */
  kill(): Promise<void>;
}

/** Starts processes with streams in containers. */
export interface StreamingRuntime {
  stream(target: ExecTarget, command: readonly string[], streams: ExecStreams): StreamedExec;
}

/** A container whose first process can be attached to. */
export interface AttachTarget {
  /** The full id. */
  readonly containerId: string;
  /** Where its conmon listens, and the fifo that takes window sizes. */
  readonly attachSocket: string;
  readonly controlFifo: string;
  /** As the container was created. */
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
}

/** Knows what can be attached to. */
export interface AttachTargets {
  /** Throws as `Targets.find` with `fresh`. */
  findAttach(containerId: string, options: { readonly signal: AbortSignal }): Promise<AttachTarget>;
}

/** A pod whose ports can be reached. */
export interface PodTarget {
  /** The full id. */
  readonly podSandboxId: string;
  /** Where its network namespace is pinned; empty for that of the host. */
  readonly netnsPath: string;
}

/** Knows pods. */
export interface PodTargets {
  /** Throws `not-found`, and `failed-precondition` for a pod that is not ready. */
  findPod(podSandboxId: string, options: { readonly signal: AbortSignal }): Promise<PodTarget>;
}

/** One who is attached to a container. */
export interface Attached {
  /** To the container's input, shared with all others who are attached. */
  readonly stdin: Writable;
  /** Resolves when the container has ended and all its output was handed over, or rejects when this one is too slow. */
  readonly ended: Promise<void>;
  /** Takes no more output. */
  leave(): void;
}

/** Attaches to the first processes of containers. */
export interface Attacher extends AsyncDisposable {
  /** Output from now on goes to the streams; with a terminal all of it is stdout. */
  attach(
    target: AttachTarget,
    outputs: {
      readonly stdout?: Writable | undefined;
      readonly stderr?: Writable | undefined;
    },
    options: { readonly signal: AbortSignal },
  ): Promise<Attached>;
  resize(target: AttachTarget, rows: number, columns: number): void;
}

/** Connects to ports of pods. */
export interface Dialer extends AsyncDisposable {
  /** A connection to localhost as the pod has it, first by IPv4, then by IPv6. Throws with both reasons. */
  dial(pod: PodTarget, port: number): Promise<Duplex>;
}
