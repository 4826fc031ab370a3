import type {
  ExecStreams,
  ExecTarget,
  RunningExec,
  Runtime,
  StreamedExec,
  StreamingRuntime,
} from '../ports.ts';
import type { ExecDirectory } from './exec-directory.ts';
import { OciExec } from './oci-exec.ts';
import { PipedExec } from './piped-exec.ts';
import { TerminalExec } from './terminal-exec.ts';

/** Runs `<runtime> exec --detach` and is the parent of the processes that it leaves. */
export class OciRuntime implements Runtime, StreamingRuntime, AsyncDisposable {
  readonly #directory: ExecDirectory;
  readonly #running = new Set<RunningExec | StreamedExec>();

  constructor(directory: ExecDirectory) {
    this.#directory = directory;
  }

  exec(target: ExecTarget, command: readonly string[]): RunningExec {
    const files = this.#directory.next();
    const exec = new OciExec(target, command, files, () => this.#running.delete(exec));
    this.#running.add(exec);
    return exec;
  }

  stream(target: ExecTarget, command: readonly string[], streams: ExecStreams): StreamedExec {
    const files = this.#directory.next();
    const onDisposed = (): void => {
      this.#running.delete(exec);
    };
    const exec: StreamedExec = streams.tty
      ? new TerminalExec(target, command, files, onDisposed)
      : new PipedExec(target, command, { files, stdin: streams.stdin, onDisposed });
    this.#running.add(exec);
    return exec;
  }

  /** Kills what still runs: nobody would ever read it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(
      [...this.#running].map(async (exec) => {
        await exec.kill();
        await exec[Symbol.asyncDispose]();
      }),
    );
  }
}
