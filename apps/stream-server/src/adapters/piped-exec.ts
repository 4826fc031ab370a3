import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { openInputPipe, openOutputPipe } from '@gantry/host';
import { StartGate } from '../exec/start-gate.ts';
import { stdioOwner } from '../exec/stdio-owner.ts';
import type { ExecExit, ExecTarget, StreamedExec } from '../ports.ts';
import type { ExecFiles } from './exec-directory.ts';
import { noInput, OciProcess } from './oci-process.ts';

const lastWordsMs = 2000;

/** A streamed exec without a terminal: a pipe for each stream. */
export class PipedExec implements StreamedExec {
  readonly stdin?: Writable;
  readonly stdout: Readable;
  readonly stderr: StartGate;
  readonly exited: Promise<ExecExit>;
  readonly #process: OciProcess;
  readonly #onDisposed: () => void;

  constructor(
    target: ExecTarget,
    command: readonly string[],
    options: {
      readonly files: ExecFiles;
      readonly stdin: boolean;
      readonly onDisposed: () => void;
    },
  ) {
    this.#onDisposed = options.onDisposed;
    using undo = new DisposableStack();
    // The process has them then, or nobody.
    using handedOn = new DisposableStack();
    const owner = stdioOwner(target.pid);
    const input = options.stdin ? openInputPipe(owner) : undefined;
    if (input !== undefined) {
      undo.defer(() => input.stream.destroy());
      handedOn.defer(() => input.closePeer());
      this.stdin = input.stream;
      // The process has closed it, or has ended: what is still written is lost with it.
      input.stream.on('error', () => undefined);
    }
    const output = openOutputPipe(owner);
    undo.defer(() => output.stream.destroy());
    handedOn.defer(() => output.closePeer());
    this.stdout = output.stream;
    this.#process = new OciProcess({
      ...{ target, command, owner, files: options.files },
      stdio: [input?.fd ?? noInput, output.fd, 'output'],
    });
    // Before the process has ended, whose end of file it would hold up.
    handedOn.dispose();
    const stderr = this.#process.output(2);
    const gate = new StartGate(this.#process.started);
    this.stderr = gate;
    stderr.once('error', () => gate.end());
    stderr.pipe(gate);
    this.exited = this.#process.waitForExit(async () => {
      const ended = stderr.readableEnded ? undefined : once(stderr, 'close');
      await Promise.race([ended, delay(lastWordsMs, undefined, { ref: false })]);
      return gate.words();
    });
    this.exited.catch(() => undefined);
    undo.move();
  }

  resize(): void {
    // There is nothing to resize.
  }

  /** As both peers have it: the process sees the end of its input and runs on. */
  hangUp(): Promise<void> {
    this.stdin?.end();
    return Promise.resolve();
  }

  kill(): Promise<void> {
    return this.#process.kill();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.stdin?.destroy();
    this.stdout.destroy();
    this.stderr.destroy();
    this.#process.output(2).destroy();
    this.#process.removeFiles();
    this.#onDisposed();
    return Promise.resolve();
  }
}
