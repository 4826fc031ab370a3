import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { openPseudoTerminal, type PseudoTerminal } from '@gantry/host';
import { CappedOutput } from '../exec/capped-output.ts';
import type { ExecExit, ExecTarget, StreamedExec } from '../ports.ts';
import type { ExecFiles } from './exec-directory.ts';
import { OciProcess } from './oci-process.ts';

const maxWordsBytes = 64 << 10;
const lastWordsMs = 2000;
/** What a process may take to end after it has been told that its terminal is gone. */
const hangUpMs = 3000;

/**
 * A streamed exec with a terminal. The runtime makes that of the process; what
 * it copies to is one of ours in raw mode, so that it passes bytes as they are.
 * Its own words come by stderr, which is a pipe.
 */
export class TerminalExec implements StreamedExec {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr = undefined;
  readonly exited: Promise<ExecExit>;
  readonly #terminal: PseudoTerminal;
  readonly #process: OciProcess;
  readonly #words: CappedOutput;
  readonly #onDisposed: () => void;

  constructor(
    target: ExecTarget,
    command: readonly string[],
    files: ExecFiles,
    onDisposed: () => void,
  ) {
    this.#onDisposed = onDisposed;
    using undo = new DisposableStack();
    this.#terminal = undo.use(openPseudoTerminal());
    const { peerFd, stream } = this.#terminal;
    this.#process = new OciProcess({
      ...{ target, command, tty: true, files },
      stdio: [peerFd, peerFd, 'output'],
    });
    this.#terminal.closePeer();
    this.stdin = stream;
    this.stdout = stream;
    const words = new CappedOutput(this.#process.output(2), maxWordsBytes);
    this.#words = words;
    this.exited = this.#process.waitForExit(async () => {
      await Promise.race([words.ended, delay(lastWordsMs, undefined, { ref: false })]);
      return words.bytes();
    });
    this.exited.catch(() => undefined);
    undo.move();
  }

  /** The runtime is no session leader here, so that the kernel would not tell it. */
  resize(rows: number, columns: number): void {
    this.#terminal.resize(rows, columns);
    this.#process.signal('SIGWINCH');
  }

  gone(signal: AbortSignal): Promise<void> {
    return this.#process.gone(signal);
  }

  /**
   * As a terminal that is closed: the process gets SIGHUP, from the runtime,
   * which is left to reap it; after a while from the kernel, when the runtime
   * is killed and the terminal goes with it. Who ignores that lives on.
   */
  async hangUp(): Promise<void> {
    this.#process.signal('SIGHUP');
    if (!(await this.#process.endWithin(hangUpMs))) {
      this.#process.signal('SIGKILL');
    }
  }

  kill(): Promise<void> {
    return this.#process.kill();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#terminal[Symbol.dispose]();
    this.#words.close();
    this.#process.removeFiles();
    this.#onDisposed();
    return Promise.resolve();
  }
}
