import { randomBytes } from 'node:crypto';
import { RuntimeError } from '@gantry/errors';

/** What a client may do with a token; also the first part of its path. */
export type StreamKind = 'exec' | 'attach' | 'portforward';

/** As both peers have it (k8s.io/kubelet, cri/streaming). */
export const tokenLifeMs = 60_000;
export const maxTokens = 1000;
const tokenBytes = 16;

interface Entry<T> {
  readonly kind: StreamKind;
  readonly serve: T;
  readonly untilMs: number;
}

/** Requests that wait for their client. A token is good once, for a minute, and for one kind. */
export class TokenStore<T> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Throws `resource-exhausted` when too many wait. */
  add(kind: StreamKind, serve: T): string {
    this.#forgetExpired();
    if (this.#entries.size >= maxTokens) {
      throw new RuntimeError(
        'resource-exhausted',
        `maximum number of in-flight requests exceeded: ${String(maxTokens)} streams wait for their clients`,
      );
    }
    const token = randomBytes(tokenBytes).toString('base64url');
    this.#entries.set(token, { kind, serve, untilMs: this.#now() + tokenLifeMs });
    return token;
  }

  /** Uses it up, whatever the answer is; undefined for one that is unknown, old or of another kind. */
  take(kind: string, token: string): T | undefined {
    const entry = this.#entries.get(token);
    this.#entries.delete(token);
    return entry !== undefined && entry.kind === kind && this.#now() < entry.untilMs
      ? entry.serve
      : undefined;
  }

  /** All live equally long, and maps keep their order: the old ones are the first. */
  #forgetExpired(): void {
    const now = this.#now();
    for (const [token, { untilMs }] of this.#entries) {
      if (now < untilMs) {
        break;
      }
      this.#entries.delete(token);
    }
  }
}
