import { setTimeout as delay } from 'node:timers/promises';

/**
 * Asks until the answer satisfies `accept`, and gives it. What the node reports
 * (an exit, a log line) comes when the kernel is done, so a test waits for the
 * state and never for a time; after `limitMs` it throws with the last answer.
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T>,
  accept: (answer: T) => boolean,
  limitMs = 60_000,
): Promise<T> {
  const end = Date.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (accept(answer)) {
      return answer;
    }
    if (Date.now() > end) {
      throw new Error(`${what}: still ${show(answer)} after ${limitMs} ms`);
    }
    await delay(20);
  }
}

function show(value: unknown): string {
  return JSON.stringify(value, (_key, v: unknown) => (typeof v === 'bigint' ? `${v}` : v));
}
