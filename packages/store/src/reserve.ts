import { closeSync, fsyncSync, openSync, rmSync, statSync, writeSync } from 'node:fs';

const reserveBytes = 4 << 20;
const renewEveryMs = 60_000;

/**
 * Space set aside beside a database, to be given up when the disk is full: what
 * frees space (stopping and removing) has to be written down too, and the call
 * that failed for want of space finds some when it is made again.
 */
export class Reserve {
  readonly #path: string;
  readonly #now: () => number;
  #isThere = false;
  #triedAtMs = Number.NEGATIVE_INFINITY;

  constructor(path: string, now: () => number = () => performance.now()) {
    this.#path = path;
    this.#now = now;
  }

  /** Sets the space aside where it is not, at most once a minute. A disk that has none is no fault. */
  renew(): void {
    if (this.#isThere || this.#now() - this.#triedAtMs < renewEveryMs) {
      return;
    }
    this.#triedAtMs = this.#now();
    try {
      if (statSync(this.#path, { throwIfNoEntry: false })?.size !== reserveBytes) {
        fill(this.#path);
      }
      this.#isThere = true;
    } catch {
      this.giveUp();
    }
  }

  /** Gives the space back to the disk. */
  giveUp(): void {
    this.#isThere = false;
    rmSync(this.#path, { force: true });
  }
}

function fill(path: string): void {
  const fd = openSync(path, 'w', 0o600);
  try {
    writeSync(fd, new Uint8Array(reserveBytes));
    // The file system may promise blocks that it finds out later not to have.
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
