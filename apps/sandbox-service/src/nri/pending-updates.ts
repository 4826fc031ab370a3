import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { create, fromJson, type JsonValue, toJson } from '@bufbuild/protobuf';
import { messageOf, RuntimeError } from '@gantry/errors';
import { writeFileAtomic } from '@gantry/host';
import { type AdjustUpdateResponse, AdjustUpdateResponseSchema } from '@gantry/proto/nri-broker';
import type { Logger } from '@gantry/telemetry';
import { isMissing } from '../errno.ts';
import type { Paths } from '../paths.ts';
import type { Locks } from '../ports.ts';

/** What plugins want beside their answer: of other containers, and of this one what the CRI has no words for. */
export type Wanted = Pick<AdjustUpdateResponse, 'resources' | 'update' | 'evict' | 'owners'>;

/** In answer to which event. */
export type Cause = 'create' | 'update' | 'stop';

/** What an instance that died had still to do. */
export interface LeftUpdates {
  readonly cause: Cause;
  /** Of the container that the event was about. */
  readonly id: string;
  readonly wanted: Wanted;
  /** ISO 8601. */
  readonly keptAt: string;
}

interface Deps {
  readonly paths: Paths;
  readonly locks: Locks;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/**
 * What plugins want and is not done yet, as files: one directory an instance,
 * and a lock beside it that the kernel drops when the instance dies. Who gets
 * the lock of another one finishes what that has left.
 */
export class PendingUpdates {
  readonly #deps: Deps;
  #own: Promise<string> | undefined;
  /** Never let go: the kernel does that. */
  #lock: AsyncDisposable | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** It survives this process when this resolves. */
  async keep(cause: Cause, id: string, wanted: Wanted): Promise<void> {
    this.#own ??= this.#openOwn().catch((error: unknown) => {
      this.#own = undefined;
      throw error;
    });
    const json = {
      keptAt: new Date().toISOString(),
      wanted: toJson(AdjustUpdateResponseSchema, create(AdjustUpdateResponseSchema, wanted)),
    };
    await writeFileAtomic(join(await this.#own, fileOf(cause, id)), JSON.stringify(json));
  }

  async forget(cause: Cause, id: string): Promise<void> {
    if (this.#own !== undefined) {
      await rm(join(await this.#own, fileOf(cause, id)), { force: true });
    }
  }

  /** Hands `finish` what dead instances have left. False where it failed at something: that stays. */
  async takeOver(finish: (left: LeftUpdates) => Promise<void>): Promise<boolean> {
    const { paths, locks } = this.#deps;
    let isDone = true;
    for (const name of await directoriesIn(paths.pluginUpdates)) {
      await using lock = locks.tryLock(join(paths.pluginUpdates, `${name}.lock`));
      if (lock === undefined) {
        // Of one that lives, maybe of this one.
        continue;
      }
      if (await this.#finishAll(join(paths.pluginUpdates, name), finish)) {
        await rm(join(paths.pluginUpdates, name), { recursive: true, force: true });
        await rm(join(paths.pluginUpdates, `${name}.lock`), { force: true });
      } else {
        isDone = false;
      }
    }
    return isDone;
  }

  async #finishAll(
    directory: string,
    finish: (left: LeftUpdates) => Promise<void>,
  ): Promise<boolean> {
    let isDone = true;
    for (const file of (await readdir(directory)).filter((name) => name.endsWith('.json'))) {
      try {
        const left = await this.#readLeft(directory, file);
        if (left !== undefined) {
          await finish(left);
        }
        await rm(join(directory, file), { force: true });
      } catch (error) {
        isDone = false;
        const words = messageOf(error);
        this.#deps.log.warn({ file, error: words }, 'not done yet: what plugins wanted');
      }
    }
    return isDone;
  }

  /** Undefined for one that can't be read: nobody ever will. */
  async #readLeft(directory: string, file: string): Promise<LeftUpdates | undefined> {
    const text = await readFile(join(directory, file), 'utf8');
    try {
      return parseLeft(file, text);
    } catch (error) {
      const words = messageOf(error);
      this.#deps.log.warn({ file, error: words }, 'unreadable: what plugins wanted');
      return undefined;
    }
  }

  /** First the lock: a directory whose lock is free is one that was left. */
  async #openOwn(): Promise<string> {
    const { paths, locks } = this.#deps;
    const name = randomUUID();
    await mkdir(paths.pluginUpdates, { recursive: true, mode: 0o700 });
    this.#lock = locks.tryLock(join(paths.pluginUpdates, `${name}.lock`));
    if (this.#lock === undefined) {
      throw new RuntimeError('internal', `lock ${name}: held by another process`);
    }
    const directory = join(paths.pluginUpdates, name);
    await mkdir(directory, { mode: 0o700 });
    return directory;
  }
}

function fileOf(cause: Cause, id: string): string {
  return `${cause}-${id}.json`;
}

function parseLeft(file: string, text: string): LeftUpdates {
  const [, cause, id = ''] = /^(create|update|stop)-([0-9a-f]+)\.json$/.exec(file) ?? [];
  if (cause === undefined) {
    throw new Error('not named as one');
  }
  const { keptAt, wanted } = JSON.parse(text) as { keptAt: string; wanted: JsonValue };
  return {
    cause: cause as Cause,
    id,
    keptAt,
    wanted: fromJson(AdjustUpdateResponseSchema, wanted, { ignoreUnknownFields: true }),
  };
}

async function directoriesIn(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if (isMissing(error)) {
      return [];
    }
    throw error;
  }
}
