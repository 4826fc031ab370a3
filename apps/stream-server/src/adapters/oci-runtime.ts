import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { identifyProcess, type StartedProcess, startProcess, waitForExit } from '@gantry/host';
import { CappedOutput } from '../exec/capped-output.ts';
import { processFile } from '../exec/process-file.ts';
import { killDescendants, killFamily } from '../exec/process-tree.ts';
import { runtimeWords } from '../exec/runtime-words.ts';
import type { ExecExit, ExecTarget, RunningExec, Runtime } from '../ports.ts';
import type { ExecDirectory, ExecFiles } from './exec-directory.ts';

/** What both peers keep of each output (CVE-2022-31030). */
export const maxOutputBytes = 16 << 20;
const killPauseMs = 20;
/** What a runtime takes to end after its last child. */
const lastPauseMs = 100;
const pidFilePauseMs = 25;
const killPatienceMs = 2000;

/** Runs `<runtime> exec`, in the foreground: it ends with the process and tells its exit code. */
export class OciRuntime implements Runtime, AsyncDisposable {
  readonly #directory: ExecDirectory;
  readonly #running = new Set<OciExec>();

  constructor(directory: ExecDirectory) {
    this.#directory = directory;
  }

  exec(target: ExecTarget, command: readonly string[]): RunningExec {
    const files = this.#directory.next();
    const exec = new OciExec(target, command, files, () => this.#running.delete(exec));
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

class OciExec implements RunningExec {
  readonly exited: Promise<ExecExit>;
  readonly drained: Promise<void>;
  readonly #child: StartedProcess;
  readonly #stdout: CappedOutput;
  readonly #stderr: CappedOutput;
  readonly #files: ExecFiles;
  readonly #onDisposed: () => void;
  #hasEnded = false;

  constructor(
    target: ExecTarget,
    command: readonly string[],
    files: ExecFiles,
    onDisposed: () => void,
  ) {
    this.#files = files;
    this.#onDisposed = onDisposed;
    writeFileSync(files.process, processFile(target.processJson, command), { mode: 0o600 });
    using undo = new DisposableStack();
    undo.defer(() => {
      removeFiles(files);
    });
    this.#child = startRuntime(target, files);
    this.#stdout = new CappedOutput(this.#child.output(1), maxOutputBytes);
    this.#stderr = new CappedOutput(this.#child.output(2), maxOutputBytes);
    this.drained = Promise.all([this.#stdout.ended, this.#stderr.ended]).then(() => undefined);
    this.exited = this.#waitForExit();
    // Whoever kills it need not look at how it ended.
    this.exited.catch(() => undefined);
    undo.move();
  }

  async #waitForExit(): Promise<ExecExit> {
    const { exitCode: code } = await this.#child.exited.finally(() => {
      this.#hasEnded = true;
    });
    if (code === 0 || isWritten(this.#files.pid)) {
      // Without a code the runtime itself was killed, and its process with it.
      return { started: true, exitCode: code ?? 137 };
    }
    // Nothing but the runtime ever held the outputs, so that this is a matter of moments.
    await Promise.race([this.drained, delay(killPatienceMs, undefined, { ref: false })]);
    const words = runtimeWords(this.#stderr.bytes().toString());
    return { started: false, words: words || `the runtime ended with code ${String(code)}` };
  }

  output(): { stdout: Uint8Array; stderr: Uint8Array } {
    return { stdout: this.#stdout.bytes(), stderr: this.#stderr.bytes() };
  }

  /** The pid file tells the process. It is looked for, as few nodes have a time for draining set. */
  async gone(signal: AbortSignal): Promise<void> {
    while (!isWritten(this.#files.pid)) {
      await delay(pidFilePauseMs, undefined, { signal });
    }
    const process = await identifyProcess(Number(readFileSync(this.#files.pid, 'utf8')));
    if (process !== undefined) {
      await waitForExit(process, { signal });
    }
  }

  /**
   * The runtime is left to reap its process, which would stay a zombie
   * otherwise, and to end by itself. One that only waits for the outputs, or
   * for a frozen container, is killed in the end with what is left.
   */
  async kill(): Promise<void> {
    const runtime = await identifyProcess(this.#child.pid);
    if (runtime === undefined) {
      return;
    }
    const deadline = performance.now() + killPatienceMs;
    while (!this.#hasEnded && performance.now() < deadline) {
      const isStarted = isWritten(this.#files.pid);
      const killed = await killDescendants(runtime.pid);
      const isLast = isStarted && killed === 0;
      await this.#endWithin(isLast ? lastPauseMs : killPauseMs);
      if (isLast) {
        break;
      }
    }
    if (!this.#hasEnded) {
      await killFamily(runtime);
      await this.#endWithin(killPatienceMs);
    }
  }

  async #endWithin(ms: number): Promise<void> {
    const pause = new AbortController();
    const late = delay(ms, undefined, { signal: pause.signal });
    await Promise.allSettled([Promise.race([this.exited, late])]);
    pause.abort();
    await late.catch(() => undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#stdout.close();
    this.#stderr.close();
    removeFiles(this.#files);
    this.#onDisposed();
    return Promise.resolve();
  }
}

/** The outputs are pipes and no sockets: a program that opens /dev/stdout would get ENXIO. */
function startRuntime(target: ExecTarget, files: ExecFiles): StartedProcess {
  const args = [
    ...target.runtimeArgs,
    'exec',
    '--process',
    files.process,
    '--pid-file',
    files.pid,
    target.containerId,
  ];
  return startProcess(target.runtimePath, args, {
    stdio: ['null', 'output', 'output'],
    env: runtimeEnvironment(),
  });
}

/** Bare: runc would hand on descriptors for a LISTEN_FDS that was meant for us. */
function runtimeEnvironment(): Record<string, string> {
  const paths = [process.env['PATH'], '/usr/sbin:/usr/bin:/sbin:/bin'];
  return { PATH: paths.filter(Boolean).join(':') };
}

function isWritten(path: string): boolean {
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

function removeFiles(files: ExecFiles): void {
  rmSync(files.process, { force: true });
  rmSync(files.pid, { force: true });
}
