const units = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** Bytes with three digits in decimal units, as every other tool prints image sizes: `12.3MB`. */
export function humanSize(bytes: bigint | number): string {
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 3 - String(Math.floor(value)).length;
  return `${value.toFixed(digits)}${units[unit]}`;
}

/** The first 13 characters of an id, without the algorithm's name. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 13);
}
