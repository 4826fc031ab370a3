import { setTimeout as delay } from 'node:timers/promises';
import { CappedOutput } from '../exec/capped-output.ts';
import { stdioOwner } from '../exec/stdio-owner.ts';
import type { ExecExit, ExecTarget, RunningExec } from '../ports.ts';
import type { ExecFiles } from './exec-directory.ts';
import { noInput, OciProcess } from './oci-process.ts';

/** What both peers keep of each output (CVE-2022-31030). */
export const maxOutputBytes = 16 << 20;
const lastWordsMs = 2000;

/** An exec whose outputs are kept for the answer. The outputs are pipes and no sockets: a program that opens /dev/stdout would get ENXIO. */
export class OciExec implements RunningExec {
  readonly exited: Promise<ExecExit>;
  readonly drained: Promise<void>;
  readonly #process: OciProcess;
  readonly #stdout: CappedOutput;
  readonly #stderr: CappedOutput;
  readonly #onDisposed: () => void;

  constructor(
    target: ExecTarget,
    command: readonly string[],
    files: ExecFiles,
    onDisposed: () => void,
  ) {
    this.#onDisposed = onDisposed;
    const stdio = [noInput, 'output', 'output'] as const;
    this.#process = new OciProcess({
      target,
      command,
      files,
      stdio,
      owner: stdioOwner(target.pid),
    });
    this.#stdout = new CappedOutput(this.#process.output(1), maxOutputBytes);
    this.#stderr = new CappedOutput(this.#process.output(2), maxOutputBytes);
    this.drained = Promise.all([this.#stdout.ended, this.#stderr.ended]).then(() => undefined);
    this.exited = this.#process.waitForExit(async () => {
      // Nothing but the runtime ever held the outputs, so that this is a matter of moments.
      await Promise.race([this.drained, delay(lastWordsMs, undefined, { ref: false })]);
      return this.#stderr.bytes();
    });
    // Whoever kills it need not look at how it ended.
    this.exited.catch(() => undefined);
  }

  output(): { stdout: Uint8Array; stderr: Uint8Array } {
    return { stdout: this.#stdout.bytes(), stderr: this.#stderr.bytes() };
  }

  kill(): Promise<void> {
    return this.#process.kill();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#stdout.close();
    this.#stderr.close();
    this.#process.removeFiles();
    this.#onDisposed();
    return Promise.resolve();
  }
}
