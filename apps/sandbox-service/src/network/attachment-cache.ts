import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { lockFile, writeFileAtomic } from '@gantry/host';
import { isMissing } from '../errno.ts';
import type { PodNetwork } from '../ports.ts';

/** A pod that plugins may have done something for, with all that a DEL must be told. */
export interface CachedAttachment {
  readonly pod: PodNetwork;
  readonly config: unknown;
  /** Of ADD, once that is through. */
  readonly result?: unknown;
}

/**
 * What is or may be attached, one file a pod, written before the first ADD and
 * removed after the last DEL: so that the addresses of pods whose records were
 * lost can be given back. Survives a reboot, as what plugins keep does.
 */
export class AttachmentCache {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Waits for a collection that is under way: what it does not know of yet it would take away. */
  async add(attachment: CachedAttachment): Promise<void> {
    await this.exclusively(() => this.complete(attachment));
  }

  /** Writes what is known now of one that was added. */
  async complete(attachment: CachedAttachment): Promise<void> {
    const text = JSON.stringify(attachment);
    await writeFileAtomic(this.#fileOf(attachment.pod.sandboxId), text, { mode: 0o600 });
  }

  async remove(sandboxId: string): Promise<void> {
    await rm(this.#fileOf(sandboxId), { force: true });
  }

  /** A file that can't be read is left out: it was never written whole. */
  async list(): Promise<readonly CachedAttachment[]> {
    const names = await readdir(this.#dir).catch((error: unknown) => {
      if (isMissing(error)) {
        return [];
      }
      throw error;
    });
    const found = await Promise.all(
      names
        .filter((name) => name.endsWith('.json'))
        .map((name) => readAttachment(join(this.#dir, name))),
    );
    return found.filter((attachment) => attachment !== undefined);
  }

  /** Nothing is added, by any instance, while `work` runs. */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    await using _ = await lockFile(join(this.#dir, 'lock'));
    return await work();
  }

  #fileOf(sandboxId: string): string {
    return join(this.#dir, `${sandboxId}.json`);
  }
}

async function readAttachment(path: string): Promise<CachedAttachment | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as CachedAttachment;
  } catch (error) {
    if (isMissing(error) || error instanceof SyntaxError) {
      return undefined;
    }
    throw error;
  }
}
