import { readFileSync } from 'node:fs';
import { parseStat } from './process-id.ts';

/** How long a child that has ended may wait for the one who started it. */
const graceMs = 1000;
/** The same where strays are known to be there; libuv needs but one turn of the loop. */
const shortGraceMs = 50;

interface Zombie {
  readonly pid: number;
  readonly startTime: string;
}

/**
 * Finds children that have ended and that nobody reaps, which only a process that adopts orphans
 * can have: what a runtime left when it failed, for one. libuv reaps its own within a turn of the
 * loop, so one that is still there at a second look is nobody's.
 */
export class StrayChildren {
  readonly #isKnown: (pid: number) => boolean;
  readonly #reap: (pid: number) => void;
  #seen: readonly Zombie[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isHurried = false;

  constructor(isKnown: (pid: number) => boolean, reap: (pid: number) => void) {
    this.#isKnown = isKnown;
    this.#reap = reap;
  }

  /** To be called when a child has ended. It does not keep this process alive. */
  lookSoon(): void {
    this.#timer ??= this.#lookIn(graceMs);
  }

  /** To be called when there are some for sure: each look takes a read for each child, so it is not done for all ends. */
  hurry(): void {
    if (!this.#isHurried) {
      this.#isHurried = true;
      clearTimeout(this.#timer);
      this.#timer = this.#lookIn(shortGraceMs);
    }
  }

  #lookIn(ms: number): NodeJS.Timeout {
    return setTimeout(() => {
      const wasHurried = this.#isHurried;
      this.#timer = undefined;
      this.#isHurried = false;
      this.#look(wasHurried);
    }, ms).unref();
  }

  #look(isHurried: boolean): void {
    const zombies = zombiesHere().filter(({ pid }) => !this.#isKnown(pid));
    const isOld = (zombie: Zombie): boolean =>
      this.#seen.some((s) => s.pid === zombie.pid && s.startTime === zombie.startTime);
    for (const { pid } of zombies.filter(isOld)) {
      this.#reap(pid);
    }
    this.#seen = zombies.filter((zombie) => !isOld(zombie));
    if (this.#seen.length > 0) {
      this.#timer ??= this.#lookIn(isHurried ? shortGraceMs : graceMs);
    }
  }
}

/** Of the main thread alone: orphans come to it, and what a worker thread starts is that one's own. */
function zombiesHere(): Zombie[] {
  const pids = readOr(`/proc/self/task/${String(process.pid)}/children`).split(' ');
  return pids
    .filter((pid) => pid !== '')
    .map((pid) => ({ pid: Number(pid), ...parseStat(readOr(`/proc/${pid}/stat`)) }))
    .filter(({ dead }) => dead)
    .map(({ pid, startTime }) => ({ pid, startTime }));
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
