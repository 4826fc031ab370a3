import type { PluginName } from '@gantry/nri';

/** One that wanted to be a plugin and could not. */
export interface RefusedPlugin {
  /** Of the file that it was started from; one that connects has none until it is taken. */
  readonly name?: PluginName;
  readonly reason: string;
  readonly atNanos: bigint;
}

const mostKept = 8;

/** Who was turned away and why, for operators: the last ones, and each reason once. */
export class TurnedAway {
  #last: readonly RefusedPlugin[] = [];

  get all(): readonly RefusedPlugin[] {
    return this.#last;
  }

  note(name: PluginName | undefined, reason: string): void {
    const others = this.#last.filter((other) => other.reason !== reason);
    const atNanos = BigInt(Date.now()) * 1_000_000n;
    this.#last = [{ ...(name && { name }), reason, atNanos }, ...others].slice(0, mostKept);
  }
}
