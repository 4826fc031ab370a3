/** A container that a process can be started in. */
export interface ExecTarget {
  /** The full id. */
  readonly containerId: string;
  /** The OCI runtime: its binary, and the arguments that go before the verb. */
  readonly runtimePath: string;
  readonly runtimeArgs: readonly string[];
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
  /**
   * The runtime has ended, which may be later than the process: some copy the
   * outputs and wait for their end. Rejects when the runtime could not be run.
   */
  readonly exited: Promise<ExecExit>;
  /** Nobody holds the outputs open any more. Never rejects. */
  readonly drained: Promise<void>;
  /** Resolves once the process itself has ended, whoever holds its outputs. Rejects when `signal` aborts. */
  gone(signal: AbortSignal): Promise<void>;
  /** What has been read up to now. */
  output(): { readonly stdout: Uint8Array; readonly stderr: Uint8Array };
  /** Kills the process and what it started, as far as that can be told; resolves once it is reaped. */
  kill(): Promise<void>;
}

/** Starts processes in containers. Disposing of one stops reading and removes its files. */
export interface Runtime {
  exec(target: ExecTarget, command: readonly string[]): RunningExec;
}
