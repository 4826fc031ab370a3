/*
 * The numbers of a header: octal digits that end at a NUL or blank, or, with
 * the first bit set, a two's complement big-endian number (GNU, star).
 */

/** undefined for what is not a number, or is beyond 2^53. An empty field is 0. */
export function parseNumber(field: Buffer): number | undefined {
  const first = field[0] ?? 0;
  if ((first & 0x80) !== 0) {
    return parseBinary(field, first);
  }
  // An octal field may begin with blanks and ends at the first NUL or blank.
  const text = field.toString('latin1').replace(/^[ \0]+/, '');
  const digits = /^[0-7]*/.exec(text)?.[0] ?? '';
  if (!/^([ \0]|$)/.test(text.slice(digits.length))) {
    return undefined;
  }
  const value = digits === '' ? 0 : Number.parseInt(digits, 8);
  return Number.isSafeInteger(value) ? value : undefined;
}

function parseBinary(field: Buffer, first: number): number | undefined {
  let value = BigInt(first & 0x7f);
  for (let i = 1; i < field.length; i++) {
    value = (value << 8n) | BigInt(field[i] ?? 0);
  }
  const signed = BigInt.asIntN(field.length * 8 - 1, value);
  const number = Number(signed);
  return Number.isSafeInteger(number) ? number : undefined;
}

/** A PAX time, such as `1350244992.023960108` or `-1.5`, in nanoseconds; undefined when malformed. */
export function parsePaxTime(text: string): bigint | undefined {
  const match = /^(-?)(\d{1,18})(?:\.(\d*))?$/.exec(text);
  if (match === null) {
    return undefined;
  }
  const [, sign, seconds = '', fraction = ''] = match;
  const nanos = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, '0'));
  return sign === '-' ? -nanos : nanos;
}

/** A decimal PAX number that is not negative; undefined when malformed or beyond 2^53. */
export function parsePaxCount(text: string): number | undefined {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}
