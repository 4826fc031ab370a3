const second = 1_000_000_000n;
const firstIntervalNanos = second / 10n;
const intervalNanos = second;
const longestNanos = 120n * second;

interface Sample {
  readonly usageNanos: bigint;
  readonly atNanos: bigint;
  /** As computed when it was taken. */
  readonly nanoCores?: bigint;
}

/**
 * How fast cgroups use CPU, from what callers read anyway: no timer, and no
 * reading of its own. The rate is that since the last reading that is a second
 * old (a tenth, for the first one), so that callers close to each other do not
 * get the noise of milliseconds. The first reading of what was born less than
 * two minutes ago gives its average since then; of something older, nothing.
 */
export class CpuSamples {
  readonly #samples = new Map<string, Sample>();
  #sweptAtNanos = 0n;

  /** Takes a reading and returns the rate in billionths of a core; undefined while there is none. */
  rateOf(
    key: string,
    { usageNanos, atNanos }: { readonly usageNanos: bigint; readonly atNanos: bigint },
    bornAtNanos?: bigint,
  ): bigint | undefined {
    this.#sweep(atNanos);
    const base = [this.#samples.get(key), born(bornAtNanos)].find(
      (s) => s && isComparable(atNanos - s.atNanos) && s.usageNanos <= usageNanos,
    );
    const elapsed = base === undefined ? 0n : atNanos - base.atNanos;
    if (base !== undefined && elapsed < minimum(base)) {
      this.#samples.set(key, base);
      return base.nanoCores;
    }
    const nanoCores =
      base === undefined ? undefined : ((usageNanos - base.usageNanos) * second) / elapsed;
    this.#samples.set(key, {
      usageNanos,
      atNanos,
      ...(nanoCores === undefined ? {} : { nanoCores }),
    });
    return nanoCores;
  }

  /** Forgets what nobody has asked of. */
  #sweep(nowNanos: bigint): void {
    if (nowNanos - this.#sweptAtNanos < longestNanos) {
      return;
    }
    this.#sweptAtNanos = nowNanos;
    for (const [key, sample] of this.#samples) {
      if (sample.atNanos + longestNanos < nowNanos) {
        this.#samples.delete(key);
      }
    }
  }
}

/** A clock that was set back, as one that was set ahead, leaves nothing to compare with. */
function isComparable(elapsedNanos: bigint): boolean {
  return elapsedNanos >= 0n && elapsedNanos <= longestNanos;
}

function born(atNanos: bigint | undefined): Sample | undefined {
  return atNanos === undefined ? undefined : { usageNanos: 0n, atNanos };
}

function minimum({ nanoCores }: Sample): bigint {
  return nanoCores === undefined ? firstIntervalNanos : intervalNanos;
}
