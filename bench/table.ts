import { stdout } from 'node:process';

/** One line of the comparison; times in milliseconds. */
export interface Row {
  readonly name: string;
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
  /** The most that the ratio may be. */
  readonly goal?: number;
}

/** Prints medians, spreads and the ratio of the medians of both sides. */
export function printTable(rows: readonly Row[], rounds: number): void {
  stdout.write(`\n${rounds} rounds in turns; ms, median [min-max]; ratio of medians\n\n`);
  stdout.write(line('', 'gantry', 'containerd', 'ratio', 'goal'));
  for (const { name, ours, theirs, goal } of rows) {
    const ratio = median(ours) / median(theirs);
    const verdict =
      goal === undefined ? '' : `<= ${goal.toFixed(1)} ${ratio <= goal ? 'met' : 'MISSED'}`;
    stdout.write(line(name, spread(ours), spread(theirs), ratio.toFixed(2), verdict));
  }
}

function line(...cells: readonly [string, string, string, string, string]): string {
  const [name, ours, theirs, ratio, goal] = cells;
  return `${name.padEnd(40)}${ours.padStart(22)}${theirs.padStart(22)}${ratio.padStart(8)}   ${goal}\n`;
}

function spread(values: readonly number[]): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `${median(values).toFixed(1)} [${low.toFixed(1)}-${high.toFixed(1)}]`;
}

/** The middle value; of an even number, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
