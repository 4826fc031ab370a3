import { InParallel } from '../in-parallel.ts';

/** What a container has written to its root file system. */
export interface LayerUsage {
  readonly bytes: bigint;
  readonly inodes: bigint;
  /** Where the file system that holds it is mounted. */
  readonly mountPoint: string;
}

export interface MeasuredLayer extends LayerUsage {
  readonly atNanos: bigint;
}

interface Entry {
  last?: MeasuredLayer;
  running?: Promise<void>;
  dueMs: number;
  askedMs: number;
}

const maxAgeMs = 10_000;
const forgetMs = 300_000;

/**
 * Walks upper directories, each at most every ten seconds and for at most a
 * tenth of the time; in between, and while a walk takes long, the last figure
 * counts, with its own time.
 */
export class WritableLayers {
  readonly #measure: (upperDir: string) => Promise<LayerUsage | undefined>;
  readonly #clock: () => bigint;
  readonly #entries = new Map<string, Entry>();
  readonly #walks = new InParallel(4);

  constructor(measure: (upperDir: string) => Promise<LayerUsage | undefined>, clock: () => bigint) {
    this.#measure = measure;
    this.#clock = clock;
  }

  /** Waits for a walk that is due no longer than `patience`; undefined when there is no figure yet. */
  async usageOf(upperDir: string, patience: Promise<unknown>): Promise<MeasuredLayer | undefined> {
    const now = performance.now();
    this.#forget(now);
    const entry = this.#entries.get(upperDir) ?? { dueMs: now, askedMs: now };
    // Anew, so that those asked of longest ago come first.
    this.#entries.delete(upperDir);
    this.#entries.set(upperDir, entry);
    entry.askedMs = now;
    if (entry.running === undefined && now >= entry.dueMs) {
      entry.running = this.#walk(upperDir, entry);
    }
    if (entry.running !== undefined) {
      await Promise.race([entry.running, patience]);
    }
    return entry.last;
  }

  /** Never rejects: a figure that can't be had is left out. */
  async #walk(upperDir: string, entry: Entry): Promise<void> {
    let tookMs = 0;
    try {
      const usage = await this.#walks.run(async () => {
        const began = performance.now();
        const measured = await this.#measure(upperDir);
        tookMs = performance.now() - began;
        return measured;
      });
      if (usage === undefined) {
        delete entry.last;
      } else {
        entry.last = { ...usage, atNanos: this.#clock() };
      }
    } catch {
      delete entry.last;
    } finally {
      entry.dueMs = performance.now() + Math.max(maxAgeMs, 10 * tookMs);
      delete entry.running;
    }
  }

  #forget(now: number): void {
    for (const [upperDir, entry] of this.#entries) {
      if (now - entry.askedMs < forgetMs) {
        return;
      }
      this.#entries.delete(upperDir);
    }
  }
}
