import { closeSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { messageOf } from '@gantry/errors';
import type { Logger } from '@gantry/telemetry';

/**
 * Lines that the next process reads, whatever this one dies of. It need not
 * survive the host. What can't be written is logged: a full disk must not keep
 * plugins from being told.
 */
export class JournalFile implements Disposable {
  readonly #path: string;
  readonly #log: Pick<Logger, 'warn'>;
  #file: number | undefined;
  #length = 0;

  constructor(path: string, log: Pick<Logger, 'warn'>) {
    this.#path = path;
    this.#log = log;
  }

  /** In lines, since it was replaced. */
  get length(): number {
    return this.#length;
  }

  /** Without a last line that a crash has cut off. */
  read(): readonly string[] {
    try {
      return readFileSync(this.#path, 'utf8').split('\n').slice(0, -1);
    } catch {
      return [];
    }
  }

  /** Puts these lines in place of all that are there. */
  replace(lines: readonly string[]): void {
    this.#quietly(() => {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      const file = openSync(`${this.#path}.new`, 'w', 0o600);
      try {
        writeSync(file, lines.map((line) => `${line}\n`).join(''));
        renameSync(`${this.#path}.new`, this.#path);
      } catch (error) {
        closeSync(file);
        throw error;
      }
      this[Symbol.dispose]();
      this.#file = file;
      this.#length = lines.length;
    });
  }

  /** Nothing before the first `replace`. */
  append(line: string): void {
    this.#length++;
    this.#quietly(() => {
      if (this.#file !== undefined) {
        writeSync(this.#file, `${line}\n`);
      }
    });
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) {
      closeSync(this.#file);
      this.#file = undefined;
    }
  }

  #quietly(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#log.warn({ file: this.#path, error: messageOf(error) }, 'note what plugins know');
    }
  }
}
