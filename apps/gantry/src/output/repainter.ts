import type { WriteStream } from 'node:tty';

/** Lines on a terminal that are painted over again and again. */
export class Repainter implements Disposable {
  readonly #terminal: Pick<WriteStream, 'write' | 'columns' | 'rows'>;
  #painted = 0;

  constructor(terminal: Pick<WriteStream, 'write' | 'columns' | 'rows'>) {
    this.#terminal = terminal;
  }

  /** Replaces what was painted before; what does not fit the terminal is cut. One that says 0 does not know its size. */
  paint(lines: readonly string[]): void {
    const columns = this.#terminal.columns || 80;
    const rows = this.#terminal.rows || 24;
    const fitting = lines.slice(0, Math.max(1, rows - 1)).map((line) => line.slice(0, columns - 1));
    this.#terminal.write(`${this.#erase()}${fitting.map((line) => `${line}\n`).join('')}`);
    this.#painted = fitting.length;
  }

  /** Takes away what was painted. */
  [Symbol.dispose](): void {
    this.#terminal.write(this.#erase());
    this.#painted = 0;
  }

  #erase(): string {
    return this.#painted === 0 ? '' : `\x1b[${this.#painted}A\x1b[J`;
  }
}
