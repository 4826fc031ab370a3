import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import {
  identifyProcess,
  type StartedProcess,
  type Stdio,
  sealedProgram,
  startProcess,
  waitForExit,
} from '@gantry/host';
import { processFile } from '../exec/process-file.ts';
import { killDescendants, killFamily } from '../exec/process-tree.ts';
import { runtimeWords } from '../exec/runtime-words.ts';
import type { ExecExit, ExecTarget } from '../ports.ts';
import type { ExecFiles } from './exec-directory.ts';

const killPauseMs = 20;
/** What a runtime takes to end after its last child. */
const lastPauseMs = 100;
const pidFilePauseMs = 25;
const killPatienceMs = 2000;

/**
 * The stdin of a process that gets none: a file of no bytes. Of /dev/null some
 * runtimes make the process's user the owner (containers/crun#1845).
 */
export const noInput: Stdio = new Uint8Array();

export interface OciProcessOptions {
  readonly target: ExecTarget;
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly files: ExecFiles;
  /** Of the runtime, which hands them on or copies them. */
  readonly stdio: readonly [Stdio, Stdio, Stdio];
}

/**
 * One `<runtime> exec` in the foreground: it ends with the process and tells
 * its exit code. Its files are removed by `removeFiles`, also when the
 * constructor throws.
 */
export class OciProcess {
  readonly #child: StartedProcess;
  readonly #files: ExecFiles;
  #hasEnded = false;

  constructor({ target, command, tty, files, stdio }: OciProcessOptions) {
    this.#files = files;
    writeFileSync(files.process, processFile(target.processJson, command, tty), { mode: 0o600 });
    const args = [
      ...[...target.runtimeArgs, 'exec', '--process', files.process],
      ...['--pid-file', files.pid, target.containerId],
    ];
    try {
      this.#child = startProcess(sealedProgram(target.runtimePath), args, {
        stdio,
        env: runtimeEnvironment(),
      });
    } catch (error) {
      this.removeFiles();
      throw error;
    }
  }

  output(fd: number): ReturnType<StartedProcess['output']> {
    return this.#child.output(fd);
  }

  /** Whether the process has been started, as far as the runtime has told yet. */
  get isStarted(): boolean {
    return (statSync(this.#files.pid, { throwIfNoEntry: false })?.size ?? 0) > 0;
  }

  /** How it ended; `words` gives all that the runtime itself has said. Called once. */
  async waitForExit(words: () => Promise<Buffer>): Promise<ExecExit> {
    const { exitCode: code } = await this.#child.exited.finally(() => {
      this.#hasEnded = true;
    });
    if (code === 0 || this.isStarted) {
      // Without a code the runtime itself was killed, and its process with it.
      return { started: true, exitCode: code ?? 137 };
    }
    const said = runtimeWords((await words()).toString());
    return { started: false, words: said || `the runtime ended with code ${String(code)}` };
  }

  /**
   * Resolves once the process itself has ended. The pid file tells which it is;
   * it is looked for, as few nodes have a time for draining set.
   */
  async gone(signal: AbortSignal): Promise<void> {
    while (!this.isStarted) {
      await delay(pidFilePauseMs, undefined, { signal });
    }
    const process = await identifyProcess(Number(readFileSync(this.#files.pid, 'utf8')));
    if (process !== undefined) {
      await waitForExit(process, { signal });
    }
  }

  /** Sends a signal to the runtime, which hands on most of them; false when it has ended. */
  signal(signal: NodeJS.Signals): boolean {
    return this.#child.kill(signal);
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
      const isStarted = this.isStarted;
      const killed = await killDescendants(runtime.pid);
      const isLast = isStarted && killed === 0;
      await this.endWithin(isLast ? lastPauseMs : killPauseMs);
      if (isLast) {
        break;
      }
    }
    if (!this.#hasEnded) {
      await killFamily(runtime);
      await this.endWithin(killPatienceMs);
    }
  }

  /** Waits for the runtime to end, but no longer than that; whether it has. */
  async endWithin(ms: number): Promise<boolean> {
    const pause = new AbortController();
    const late = delay(ms, undefined, { signal: pause.signal });
    await Promise.allSettled([Promise.race([this.#child.exited, late])]);
    pause.abort();
    await late.catch(() => undefined);
    return this.#hasEnded;
  }

  removeFiles(): void {
    rmSync(this.#files.process, { force: true });
    rmSync(this.#files.pid, { force: true });
  }
}

/** Bare: runc would hand on descriptors for a LISTEN_FDS that was meant for us. */
function runtimeEnvironment(): Record<string, string> {
  const paths = [process.env['PATH'], '/usr/sbin:/usr/bin:/sbin:/bin'];
  return { PATH: paths.filter(Boolean).join(':') };
}
