import type { Pressure, PressureLine } from './cgroup-reading.ts';

/** The number of one line `<key> <number>` of a flat keyed file such as memory.stat. */
export function figureOf(text: string, key: string): bigint | undefined {
  const line = `${key} `;
  const start = text.startsWith(line) ? 0 : text.indexOf(`\n${line}`) + 1;
  if (!text.startsWith(line, start)) {
    return undefined;
  }
  const end = text.indexOf('\n', start);
  return parseFigure(text.slice(start + line.length, end === -1 ? undefined : end));
}

/** A file that is one number; undefined for `max`, and for what is no number. */
export function parseFigure(text: string | undefined): bigint | undefined {
  const digits = text?.trim() ?? '';
  return /^\d+$/.test(digits) ? BigInt(digits) : undefined;
}

/** A `*.pressure` file; cpu.pressure of older kernels has no `full` line, which then is zero. */
export function parsePressure(text: string | undefined): Pressure | undefined {
  const some = pressureLine(text, 'some');
  return some === undefined ? undefined : { some, full: pressureLine(text, 'full') ?? none };
}

const none: PressureLine = { totalNanos: 0n, avg10: 0, avg60: 0, avg300: 0 };

function pressureLine(text: string | undefined, kind: 'some' | 'full'): PressureLine | undefined {
  const pattern = new RegExp(
    `^${kind} avg10=([\\d.]+) avg60=([\\d.]+) avg300=([\\d.]+) total=(\\d+)`,
    'm',
  );
  const [, avg10, avg60, avg300, totalMicros] = pattern.exec(text ?? '') ?? [];
  return totalMicros === undefined
    ? undefined
    : {
        totalNanos: BigInt(totalMicros) * 1000n,
        avg10: Number(avg10),
        avg60: Number(avg60),
        avg300: Number(avg300),
      };
}
