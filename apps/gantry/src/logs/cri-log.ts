import { RuntimeError } from '@gantry/errors';

/** One line of a container's output, or a part of a long one. */
export interface LogEntry {
  /** RFC 3339 with nanoseconds, as written. */
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  /** More of the same line follows. */
  readonly partial: boolean;
  readonly content: Buffer;
}

const newline = 0x0a;
const blank = 0x20;

/** `TIME STREAM TAGS CONTENT` (the CRI's log format, KEP "CRI container logs"), without its newline. */
export function parseLogLine(line: Buffer): LogEntry {
  const first = line.indexOf(blank);
  const second = line.indexOf(blank, first + 1);
  const third = line.indexOf(blank, second + 1);
  const stream = line.toString('latin1', first + 1, second);
  if (first < 0 || second < 0 || (stream !== 'stdout' && stream !== 'stderr')) {
    throw new RuntimeError(
      'internal',
      `read log: no CRI log line: "${line.toString('utf8', 0, 80)}"`,
    );
  }
  const tags = line.toString('latin1', second + 1, third < 0 ? line.length : third).split(':');
  return {
    time: line.toString('latin1', 0, first),
    stream,
    partial: tags.includes('P'),
    content: third < 0 ? Buffer.alloc(0) : line.subarray(third + 1),
  };
}

/** Cuts bytes into log lines; keeps the beginning of a line whose end has not been written yet. */
export class LogCutter {
  #kept: Buffer = Buffer.alloc(0);

  *push(bytes: Buffer): Iterable<LogEntry> {
    const all = this.#kept.length === 0 ? bytes : Buffer.concat([this.#kept, bytes]);
    let start = 0;
    for (let end = all.indexOf(newline); end >= 0; end = all.indexOf(newline, start)) {
      yield parseLogLine(all.subarray(start, end));
      start = end + 1;
    }
    this.#kept = Buffer.from(all.subarray(start));
  }
}

/** The last `count` lines; a line in parts counts as one. */
export function tailOf(entries: readonly LogEntry[], count: number): readonly LogEntry[] {
  let lines = 0;
  for (let i = entries.length - 1; i >= 0; i -= 1) {
    // An entry ends a line when it is no part, or the last there is.
    if (entries[i]?.partial !== true || i === entries.length - 1) {
      lines += 1;
    }
    if (lines > count) {
      return entries.slice(i + 1);
    }
  }
  return entries;
}
