import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { RuntimeError } from '@gantry/errors';
import {
  adoptOrphans,
  expectDeadOrphans,
  identifyProcess,
  type Owner,
  type ProcessExit,
  reapOrphan,
  type StartedProcess,
  type Stdio,
  sealedProgram,
  startProcess,
} from '@gantry/host';
import { processFile } from '../exec/process-file.ts';
import { killDescendants, killFamily } from '../exec/process-tree.ts';
import { runtimeWords } from '../exec/runtime-words.ts';
import type { ExecExit, ExecTarget } from '../ports.ts';
import type { ExecFiles } from './exec-directory.ts';

const killPauseMs = 20;
const killPatienceMs = 2000;

/**
 * The stdin of a process that gets none: a file of no bytes. Of /dev/null some
 * runtimes make the process's user the owner (containers/crun#1845).
 */
export const noInput: Stdio = new Uint8Array();

export interface OciProcessOptions {
  readonly target: ExecTarget;
  readonly command: readonly string[];
  readonly files: ExecFiles;
  /** Of the process, without a terminal; with one, of the runtime only. */
  readonly stdio: readonly [Stdio, Stdio, Stdio];
  readonly owner?: Owner | undefined;
  /** Where the runtime shall deliver the process's terminal; without one when absent. */
  readonly consoleSocket?: string | undefined;
}

/**
 * One `<runtime> exec --detach`: the runtime ends when the process has been
 * started, and we are the parent that the process gets then.
 *
 *     runtime ---> started (pid file) ---> exited: its code
 *        +-------> not started: the runtime's words
 *
 * Its files are removed by `removeFiles`, also when the constructor throws.
 */
export class OciProcess {
  /** Resolves when the runtime has ended: whether there is, or was, a process. Never rejects. */
  readonly started: Promise<boolean>;
  readonly #runtime: StartedProcess;
  readonly #files: ExecFiles;
  readonly #exit: Promise<number | undefined>;
  #pid: number | undefined;
  #hasEnded = false;

  constructor({ target, command, files, stdio, owner, consoleSocket }: OciProcessOptions) {
    this.#files = files;
    const tty = consoleSocket !== undefined;
    writeFileSync(files.process, processFile(target.processJson, command, tty), { mode: 0o600 });
    const args = [
      ...[...target.runtimeArgs, 'exec', '--detach', '--process', files.process],
      ...['--pid-file', files.pid, ...(tty ? ['--console-socket', consoleSocket] : [])],
      target.containerId,
    ];
    using undo = new DisposableStack();
    undo.defer(() => {
      this.removeFiles();
    });
    const adoption = undo.use(adoptOrphans());
    const runtime = startProcess(sealedProgram(target.runtimePath), args, {
      ...{ stdio, owner, env: runtimeEnvironment() },
    });
    this.#runtime = runtime;
    undo.move();
    const { promise: started, resolve: tellStarted } = Promise.withResolvers<boolean>();
    this.started = started;
    this.#exit = this.#follow(runtime, adoption, tellStarted);
    this.#exit.catch(() => undefined);
  }

  output(fd: number): ReturnType<StartedProcess['output']> {
    return this.#runtime.output(fd);
  }

  /** How it ended; `words` gives all that the runtime itself has said. Called once. */
  async waitForExit(words: () => Promise<Buffer>): Promise<ExecExit> {
    const exitCode = await this.#exit;
    if (exitCode !== undefined) {
      return { started: true, exitCode };
    }
    const said = runtimeWords((await words()).toString());
    const { exitCode: code, signal } = await this.#runtime.exited;
    const end = signal ?? `code ${String(code)}`;
    return { started: false, words: said || `the runtime ended with ${end}` };
  }

  /**
   * Kills the process and what it has started, or the runtime and what that
   * has, and waits for them to be reaped; for those in a frozen container no longer than a while.
   */
  async kill(): Promise<void> {
    const deadline = performance.now() + killPatienceMs;
    while (!this.#hasEnded && performance.now() < deadline) {
      await (this.#pid === undefined ? killDescendants(this.#runtime.pid) : this.#killAll());
      await this.#endWithin(killPauseMs);
    }
    if (!this.#hasEnded) {
      await this.#killAll();
      await this.#endWithin(killPatienceMs);
    }
    // What the runtime had begun came to us when it ended, and is dead as well.
    expectDeadOrphans();
  }

  removeFiles(): void {
    rmSync(this.#files.process, { force: true });
    rmSync(this.#files.pid, { force: true });
  }

  /** The exit code; undefined when it never ran. */
  async #follow(
    runtime: StartedProcess,
    adoption: Disposable,
    tellStarted: (isStarted: boolean) => void,
  ): Promise<number | undefined> {
    try {
      const { exitCode } = await runtime.exited;
      // A runtime that was killed later than it had written this has left a process all the same.
      const pid = this.#recordedPid();
      adoption[Symbol.dispose]();
      if (pid === undefined) {
        tellStarted(false);
        if (exitCode === 0) {
          throw new RuntimeError('internal', 'the runtime told no pid');
        }
        return undefined;
      }
      this.#pid = pid;
      const exit = reapOrphan(pid);
      tellStarted(true);
      return codeOf(await exit);
    } finally {
      tellStarted(false);
      adoption[Symbol.dispose]();
      this.#hasEnded = true;
    }
  }

  #recordedPid(): number | undefined {
    if (statSync(this.#files.pid, { throwIfNoEntry: false }) === undefined) {
      return undefined;
    }
    return Number(readFileSync(this.#files.pid, 'latin1')) || undefined;
  }

  async #killAll(): Promise<void> {
    const process = await identifyProcess(this.#pid ?? this.#runtime.pid);
    if (process !== undefined && !this.#hasEnded) {
      await killFamily(process);
    }
  }

  async #endWithin(ms: number): Promise<void> {
    const pause = new AbortController();
    const late = delay(ms, undefined, { signal: pause.signal });
    await Promise.allSettled([Promise.race([this.#exit, late])]);
    pause.abort();
    await late.catch(() => undefined);
  }
}

/** As shells and both peers have it: 128 and the signal's number. */
function codeOf({ exitCode, signal }: ProcessExit): number {
  if (exitCode !== null) {
    return exitCode;
  }
  const known = Object.entries(constants.signals).find(([name]) => name === signal);
  return 128 + (known?.[1] ?? Number(signal?.slice('SIG'.length)));
}

/** Bare: runc would hand on descriptors for a LISTEN_FDS that was meant for us. */
function runtimeEnvironment(): Record<string, string> {
  const paths = [process.env['PATH'], '/usr/sbin:/usr/bin:/sbin:/bin'];
  return { PATH: paths.filter(Boolean).join(':') };
}
