import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { lockFile, tryLockFile } from '@gantry/host';
import type { Logger } from '@gantry/telemetry';
import { killLeftovers } from './leftovers.ts';

/** Where the files of one exec are. All of them are the owner's to remove. */
export interface ExecFiles {
  readonly process: string;
  readonly pid: string;
  /** Where the runtime delivers a terminal. */
  readonly console: string;
}

/**
 * The directory of this instance under `<state_dir>/exec`. A lock beside it
 * tells the living from the dead: whatever a killed instance has left, its
 * processes included, is cleared away when the next one starts.
 */
export class ExecDirectory implements AsyncDisposable {
  readonly #path: string;
  readonly #lock: AsyncDisposable;
  #count = 0;

  private constructor(path: string, lock: AsyncDisposable) {
    this.#path = path;
    this.#lock = lock;
  }

  static async open(stateDir: string, instance: string, log: Logger): Promise<ExecDirectory> {
    const parent = join(stateDir, 'exec');
    mkdirSync(parent, { recursive: true, mode: 0o700 });
    const path = join(parent, instance);
    const lock = await lockFile(`${path}.lock`, { remove: true });
    mkdirSync(path, { mode: 0o700 });
    await clearDead(parent, log);
    return new ExecDirectory(path, lock);
  }

  /** Names for the files of one more exec. */
  next(): ExecFiles {
    this.#count += 1;
    const base = join(this.#path, String(this.#count));
    return { process: `${base}.json`, pid: `${base}.pid`, console: `${base}.sock` };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#path, { recursive: true, force: true });
    await this.#lock[Symbol.asyncDispose]();
  }
}

/** Locks without a directory count too: their owner died in between. */
async function clearDead(parent: string, log: Logger): Promise<void> {
  const instances = new Set(readdirSync(parent).map((name) => name.replace(/\.lock$/, '')));
  for (const instance of instances) {
    const path = join(parent, instance);
    await using lock = tryLockFile(`${path}.lock`, { remove: true });
    // Undefined is the lock of one that lives; a directory that is gone was cleared by another one.
    if (lock !== undefined && existsSync(path)) {
      try {
        const killed = await killLeftovers(path);
        rmSync(path, { recursive: true, force: true });
        log.info({ instance, killed }, 'cleared away what a dead instance left');
      } catch (err) {
        // The next start tries again; it must not keep this one from serving.
        log.warn({ err, instance }, 'clear away what a dead instance left');
      }
    }
  }
}
