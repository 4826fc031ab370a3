import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { lockFile, tryLockFile } from '@gantry/host';

type Subject = 'blob' | 'chain' | 'image' | 'layer' | 'name' | 'root';

/** Locks that replicas on one node share (flock): dropped by the kernel when their holder dies. */
export class Locks {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async open(directory: string): Promise<Locks> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return new Locks(directory);
  }

  /** Waits for the lock; rejects with the signal's reason. */
  take(subject: Subject, id: string, signal?: AbortSignal): Promise<AsyncDisposable> {
    return lockFile(this.#path(subject, id), { remove: true, ...(signal ? { signal } : {}) });
  }

  /** undefined when somebody has it. */
  tryTake(subject: Subject, id: string): AsyncDisposable | undefined {
    return tryLockFile(this.#path(subject, id), { remove: true });
  }

  /** Ids may be names of any length, with slashes. */
  #path(subject: Subject, id: string): string {
    const name = createHash('sha256').update(id).digest('hex');
    return join(this.#directory, `${subject}-${name}.lock`);
  }
}
