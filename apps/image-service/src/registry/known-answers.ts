import { createHash } from 'node:crypto';
import type { Clock, Credentials } from '../ports.ts';

interface Answer {
  readonly header: string;
  readonly until: number;
}

/** A token is not used up to its last second: the registry's clock is another. */
const marginMs = 10_000;
const longestMs = 300_000;
const most = 1000;

/** Whom an answer was for: never to be given to anybody else. */
export interface Asker {
  /** Of the endpoint. */
  readonly base: URL;
  readonly repository: string;
  readonly credentials: Credentials | undefined;
}

/**
 * The Authorization headers that have worked, for a while: a pull that follows
 * another need not be refused, and fetch a token, before it gets its manifest.
 */
export class KnownAnswers {
  readonly #answers = new Map<string, Answer>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  find(asker: Asker): string | undefined {
    const answer = this.#answers.get(keyOf(asker));
    return answer !== undefined && this.#clock() < answer.until ? answer.header : undefined;
  }

  /** Remembers one that has just worked, for as long as it was said to be good for. */
  remember(asker: Asker, header: string, lifetimeMs: number): void {
    const [now, key] = [this.#clock(), keyOf(asker)];
    this.#answers.delete(key);
    this.#answers.set(key, { header, until: now + Math.min(lifetimeMs - marginMs, longestMs) });
    // The oldest first, as they were put in.
    for (const [old, { until }] of this.#answers) {
      if (until <= now || this.#answers.size > most) {
        this.#answers.delete(old);
      }
    }
  }

  forget(asker: Asker): void {
    this.#answers.delete(keyOf(asker));
  }
}

function keyOf({ base, repository, credentials }: Asker): string {
  const asker = JSON.stringify([base.href, repository, credentials ?? null]);
  return createHash('sha256').update(asker).digest('hex');
}
