/*
 * JSON that keeps nanoseconds: a bigint is written as {"$n": "<digits>"}.
 */

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
