import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { RuntimeError } from '@gantry/errors';
import { type ConsoleSocket, listenForConsole, TerminalMaster } from '@gantry/host';
import { CappedOutput } from '../exec/capped-output.ts';
import type { ExecExit, ExecTarget, StreamedExec } from '../ports.ts';
import type { ExecFiles } from './exec-directory.ts';
import { noInput, OciProcess } from './oci-process.ts';

const maxWordsBytes = 64 << 10;
const lastWordsMs = 2000;

/**
 * A streamed exec with a terminal. The runtime makes that inside the container
 * and hands its master over to us, before it ends; nobody copies in between.
 */
export class TerminalExec implements StreamedExec {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr = undefined;
  readonly exited: Promise<ExecExit>;
  readonly #terminal = new TerminalMaster();
  readonly #socket: ConsoleSocket;
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
    undo.use(this.#terminal);
    this.#socket = undo.use(listenForConsole(files.console));
    this.#process = new OciProcess({
      ...{ target, command, files },
      stdio: [noInput, 'output', 'output'],
      consoleSocket: this.#socket.path,
    });
    // What a runtime says, it says by stderr.
    this.#process.output(1).resume();
    this.#words = new CappedOutput(this.#process.output(2), maxWordsBytes);
    const { stream } = this.#terminal;
    this.stdin = stream;
    this.stdout = stream;
    this.exited = this.#follow();
    this.exited.catch(() => undefined);
    undo.move();
  }

  resize(rows: number, columns: number): void {
    this.#terminal.resize(rows, columns);
  }

  /** As a terminal whose window is closed: the process gets SIGHUP. Who ignores that lives on. */
  hangUp(): Promise<void> {
    this.#terminal[Symbol.dispose]();
    return Promise.resolve();
  }

  kill(): Promise<void> {
    return this.#process.kill();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#terminal[Symbol.dispose]();
    this.#socket[Symbol.dispose]();
    this.#words.close();
    this.#process.output(1).destroy();
    this.#process.removeFiles();
    this.#onDisposed();
    return Promise.resolve();
  }

  async #follow(): Promise<ExecExit> {
    try {
      const isStarted = await this.#process.started;
      const master = this.#socket.receive();
      this.#socket[Symbol.dispose]();
      if (master !== undefined && isStarted) {
        this.#terminal.open(master);
      } else if (isStarted) {
        await this.#process.kill();
        throw new RuntimeError('internal', 'the runtime handed over no terminal');
      }
      return await this.#process.waitForExit(() => this.#runtimeWords(master));
    } finally {
      this.#terminal.finish();
    }
  }

  /** Of some runtimes they come by the terminal that was made for the process (crun 1.8). */
  async #runtimeWords(master: number | undefined): Promise<Buffer> {
    using terminal = new TerminalMaster();
    const more = new CappedOutput(terminal.stream, maxWordsBytes);
    if (master !== undefined) {
      terminal.open(master);
    }
    terminal.finish();
    await Promise.race([
      Promise.all([this.#words.ended, more.ended]),
      delay(lastWordsMs, undefined, { ref: false }),
    ]);
    return Buffer.concat([this.#words.bytes(), more.bytes()]);
  }
}
