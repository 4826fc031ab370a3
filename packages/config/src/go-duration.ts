const unitsMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Whole milliseconds of a duration as Go prints it, such as `4h0m0s`; undefined for what is none. */
export function parseDurationMs(text: string): number | undefined {
  if (text === '0') {
    return 0;
  }
  let total = 0;
  let rest = text;
  while (rest !== '') {
    const part = /^(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/.exec(rest);
    if (part === null) {
      return undefined;
    }
    total += Number(part[1]) * (unitsMs[part[2] ?? ''] ?? 0);
    rest = rest.slice(part[0].length);
  }
  return text === '' ? undefined : Math.round(total);
}
