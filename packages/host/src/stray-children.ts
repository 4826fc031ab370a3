import { readFileSync } from 'node:fs';
import { parseStat } from './process-id.ts';

/** How long a child that has ended may wait for the one who started it. */
const graceMs = 1000;

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
  #isDue = false;

  constructor(isKnown: (pid: number) => boolean, reap: (pid: number) => void) {
    this.#isKnown = isKnown;
    this.#reap = reap;
  }

  /** To be called when a child has ended. It does not keep this process alive. */
  lookSoon(): void {
    if (!this.#isDue) {
      this.#isDue = true;
      setTimeout(() => {
        this.#isDue = false;
        this.#look();
      }, graceMs).unref();
    }
  }

  #look(): void {
    const zombies = zombiesHere().filter(({ pid }) => !this.#isKnown(pid));
    const isOld = (zombie: Zombie): boolean =>
      this.#seen.some((s) => s.pid === zombie.pid && s.startTime === zombie.startTime);
    for (const { pid } of zombies.filter(isOld)) {
      this.#reap(pid);
    }
    this.#seen = zombies.filter((zombie) => !isOld(zombie));
    if (this.#seen.length > 0) {
      this.lookSoon();
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
