import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The code of a process that SIGKILL ended, which is how the kernel frees memory. */
const killedCode = 137;

/** A container that has ended, as far as it is known. */
export interface Ended {
  readonly id: string;
  readonly exitCode: number;
  readonly bundleDir: string;
  /** Below the cgroup root; undefined when the spec names none. */
  readonly cgroupPath?: string | undefined;
  /** What `unclaimed` said before it was made; undefined when nobody asked. */
  readonly unclaimedBefore?: number | undefined;
}

/**
 * Which containers the kernel has killed for want of memory. Conmon leaves a mark when it learns of
 * it, and the cgroup counts. Both can be too late: with systemd a container's scope is gone in the
 * moment its last process is, before conmon has read it. With cgroup v2 the parent then still counts
 * what its children had. A count there that no living child accounts for, that was not there when
 * the container was made, and that no other end has claimed, is this container's. v1 has no such
 * count, but its notice to conmon does not go with the cgroup.
 */
export class OomKills {
  readonly #cgroupRoot: string;
  /** By container. An end may be asked for more than once, and claims once. */
  readonly #verdicts = new Map<string, boolean>();
  /** Containers that this service has ended with SIGKILL. */
  readonly #ended = new Set<string>();
  /** The cgroups of containers whose end is known: their counts are claimed, also while they are still there. */
  readonly #settled = new Set<string>();
  /** By parent: its kills that are claimed. */
  readonly #claimed = new Map<string, number>();

  constructor(cgroupRoot = '/sys/fs/cgroup') {
    this.#cgroupRoot = cgroupRoot;
  }

  /**
   * Kills that the parent of `cgroupPath` counts and that are no business of a container that is
   * made there now. 0 where it does not count (cgroup v1, no parent yet).
   */
  unclaimed(cgroupPath: string): number {
    const parent = dirname(cgroupPath);
    return Math.max(this.#claimed.get(parent) ?? 0, this.#countOfTheGone(parent, cgroupPath));
  }

  /** From here on SIGKILL as the end of this container needs no other explanation. */
  willKill(id: string): void {
    this.#ended.add(id);
  }

  /** Whether an out-of-memory kill has ended the container. The same answer each time, until it is forgotten. */
  wasKilled(container: Ended): boolean {
    const known = this.#verdicts.get(container.id);
    if (known !== undefined) {
      return known;
    }
    const isMarked = existsSync(join(container.bundleDir, 'oom'));
    const isCounted = container.exitCode === killedCode && this.#isCounted(container);
    this.#settle(container.cgroupPath);
    this.#verdicts.set(container.id, isMarked || isCounted);
    return isMarked || isCounted;
  }

  forget(id: string, cgroupPath: string | undefined): void {
    this.#verdicts.delete(id);
    this.#ended.delete(id);
    if (cgroupPath !== undefined) {
      this.#settled.delete(cgroupPath);
    }
  }

  #isCounted({ id, cgroupPath, unclaimedBefore }: Ended): boolean {
    if (cgroupPath === undefined) {
      return false;
    }
    const own = this.#killsOf(cgroupPath);
    if (own !== undefined) {
      return own > 0;
    }
    return (
      unclaimedBefore !== undefined &&
      !this.#ended.has(id) &&
      this.unclaimed(cgroupPath) >
        Math.max(this.#claimed.get(dirname(cgroupPath)) ?? 0, unclaimedBefore)
    );
  }

  #settle(cgroupPath: string | undefined): void {
    if (cgroupPath === undefined) {
      return;
    }
    this.#settled.add(cgroupPath);
    const [parent, claimed] = [dirname(cgroupPath), this.unclaimed(cgroupPath)];
    if (claimed > (this.#claimed.get(parent) ?? 0)) {
      this.#claimed.set(parent, claimed);
      // Those of pods that are gone would add up over the months.
      for (const other of this.#claimed.keys()) {
        if (!existsSync(join(this.#cgroupRoot, other))) {
          this.#claimed.delete(other);
        }
      }
    }
  }

  /** The kills below `parent` that were not in a child that lives; `except` counts as gone. */
  #countOfTheGone(parent: string, except: string): number {
    const all = this.#eventsOf(parent) ?? 0;
    // Nearly always: a child costs a read, and a parent may have hundreds.
    if (all <= (this.#claimed.get(parent) ?? 0)) {
      return all;
    }
    const living = this.#childrenOf(parent).filter((c) => c !== except && !this.#settled.has(c));
    return living.reduce((rest, child) => rest - (this.#eventsOf(child) ?? 0), all);
  }

  #childrenOf(parent: string): string[] {
    try {
      const entries = readdirSync(join(this.#cgroupRoot, parent), { withFileTypes: true });
      return entries.filter((e) => e.isDirectory()).map((e) => join(parent, e.name));
    } catch {
      return [];
    }
  }

  /** Undefined where the cgroup is gone. */
  #killsOf(cgroupPath: string): number | undefined {
    return (
      this.#eventsOf(cgroupPath) ?? this.#read(join('memory', cgroupPath, 'memory.oom_control'))
    );
  }

  #eventsOf(cgroupPath: string): number | undefined {
    return this.#read(join(cgroupPath, 'memory.events'));
  }

  /** `oom_kill` of `memory.events` (cgroup v2, of the cgroup and all below it) or `memory.oom_control` (v1). */
  #read(file: string): number | undefined {
    try {
      const text = readFileSync(join(this.#cgroupRoot, file), 'utf8');
      return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
    } catch {
      // Mostly it is gone. Whatever it is, that a container has ended must be recorded.
      return undefined;
    }
  }
}
