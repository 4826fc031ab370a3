import { kindOf, messageOf, RuntimeError } from '@gantry/errors';

/** Runs the steps of something long, one line each: what is being done, and how long it took. */
export class Progress {
  readonly #what: string;
  readonly #write: (text: string) => void;

  readonly #advice: string;

  /** `advice` is told with each failure: a sentence without its full stop. */
  constructor(what: string, write: (text: string) => void, advice: string) {
    this.#what = what;
    this.#advice = advice;
    this.#write = write;
  }

  /** An error that `work` throws is told with the step that failed. */
  async step<T>(title: string, work: () => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    this.#write(`==> ${title} ...\n`);
    try {
      const result = await work();
      this.#write(`    done in ${duration(performance.now() - startedMs)}\n`);
      return result;
    } catch (cause) {
      const why = messageOf(cause).replace(/\.$/, '');
      throw new RuntimeError(kindOf(cause), `${this.#what}: ${title}: ${why}. ${this.#advice}`);
    }
  }

  /** Shows what a step gave, indented below it. */
  show(text: string): void {
    const lines = text.trimEnd().split('\n');
    this.#write(lines.map((line) => `    ${line.trimEnd()}\n`).join(''));
  }
}

/** `350 ms`, `2.4 s`, `3 min 5 s`. */
export function duration(ms: number): string {
  if (ms < 1000) {
    return `${Math.round(ms)} ms`;
  }
  const seconds = ms / 1000;
  return seconds < 60
    ? `${seconds.toFixed(1)} s`
    : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}
