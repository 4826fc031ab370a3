/*
 * JSON that keeps nanoseconds: a bigint is written as {"$n": "<digits>"}.
 */

/** A change of facts: what is left out stays, what is undefined is removed. */
export type Change<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** The JSON of a record's facts. */
export function writeFacts(facts: unknown): string {
  return JSON.stringify(facts, (_, value: unknown) =>
    typeof value === 'bigint' ? { $n: value.toString() } : value,
  );
}

/** What `writeFacts` wrote. The caller says what type it had. */
export function readFacts<T>(json: string): T {
  return JSON.parse(json, (_, value: unknown) => (isBig(value) ? BigInt(value.$n) : value)) as T;
}

function isBig(value: unknown): value is { $n: string } {
  return (
    typeof value === 'object' && value !== null && '$n' in value && typeof value.$n === 'string'
  );
}
