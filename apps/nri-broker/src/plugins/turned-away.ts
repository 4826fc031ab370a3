import type { PluginName } from '@gantry/nri';

/** One that wanted to be a plugin and could not. */
export interface RefusedPlugin {
  /** Of its file, or as it has said; one that is turned away before that has none. */
  readonly name?: PluginName;
  readonly origin: 'external' | 'launched';
  readonly reason: string;
  readonly atNanos: bigint;
}

const mostStrangersKept = 8;

/**
 * Who was turned away and why, for operators: every file that should have been
 * started, and the last ones of those that connect, each reason once.
 */
export class TurnedAway {
  #files: readonly RefusedPlugin[] = [];
  #strangers: readonly RefusedPlugin[] = [];

  get all(): readonly RefusedPlugin[] {
    return [...this.#strangers, ...this.#files];
  }

  note(refused: Omit<RefusedPlugin, 'atNanos'>): void {
    const entry = { ...refused, atNanos: BigInt(Date.now()) * 1_000_000n };
    if (refused.origin === 'launched') {
      this.#files = [...this.#files, entry];
      return;
    }
    const others = this.#strangers.filter(({ reason }) => reason !== refused.reason);
    this.#strangers = [entry, ...others].slice(0, mostStrangersKept);
  }
}
