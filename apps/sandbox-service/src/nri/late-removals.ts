import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  create,
  fromJson,
  type JsonValue,
  type MessageInitShape,
  toJson,
} from '@bufbuild/protobuf';
import { isKind, messageOf } from '@gantry/errors';
import { writeFileAtomic } from '@gantry/host';
import { type NotifyRequest, NotifyRequestSchema } from '@gantry/proto/nri-broker';
import type { Logger } from '@gantry/telemetry';
import { isMissing } from '../errno.ts';
import type { Paths } from '../paths.ts';
import type { Locks } from '../ports.ts';

export interface LateRemovalsDeps {
  readonly paths: Paths;
  readonly locks: Locks;
  readonly log: Pick<Logger, 'warn'>;
  readonly signal: AbortSignal;
  /** Tells plugins; throws `unavailable` while they are away. */
  readonly tell: (request: NotifyRequest) => Promise<void>;
}

interface Kept {
  readonly file: string;
  /** Whether plugins have been told that it stopped. */
  readonly isStopped: boolean;
  readonly request: NotifyRequest;
}

const firstRetryMs = 500;
const longestRetryMs = 30_000;

/**
 * Removals of pods and containers that no plugin could be told of, since
 * nri-broker was away: one file each, told in their order when it is back, by
 * whichever instance is first.
 */
export class LateRemovals {
  readonly #deps: LateRemovalsDeps;
  #telling: Promise<void> | undefined;
  #isAsked = false;
  #count = 0;

  constructor(deps: LateRemovalsDeps) {
    this.#deps = deps;
  }

  /** While some are left a new one has to wait for its turn. */
  get isBusy(): boolean {
    return this.#telling !== undefined;
  }

  /** It survives this process when this resolves. */
  async keep(
    init: MessageInitShape<typeof NotifyRequestSchema>,
    isStopped: boolean,
  ): Promise<void> {
    const { pluginRemovals } = this.#deps.paths;
    const request = create(NotifyRequestSchema, init);
    await mkdir(pluginRemovals, { recursive: true, mode: 0o700 });
    const json = JSON.stringify({ isStopped, request: toJson(NotifyRequestSchema, request) });
    await writeFileAtomic(join(pluginRemovals, this.#nameOf(request)), json);
    this.deliver();
  }

  /** Ids of those that are kept, for plugins that come. */
  async ids(): Promise<{ readonly stopping: string[]; readonly stopped: string[] }> {
    const kept = await this.#list();
    const ids = (isStopped: boolean) =>
      kept
        .filter((one) => one.isStopped === isStopped)
        .map(({ request }) => request.container?.id ?? request.pod?.id ?? '');
    return { stopping: ids(false), stopped: ids(true) };
  }

  /** Tells plugins of them, in the background. */
  deliver(): void {
    this.#isAsked = true;
    this.#telling ??= this.#deliver();
  }

  async #deliver(): Promise<void> {
    try {
      // One may have come after the last look for more.
      while (this.#isAsked) {
        this.#isAsked = false;
        await this.#tellUntilNoneIsLeft();
      }
    } catch (error) {
      if (!this.#deps.signal.aborted) {
        this.#deps.log.warn({ error: messageOf(error) }, 'tell plugins of removals');
      }
    } finally {
      this.#telling = undefined;
    }
  }

  async #tellUntilNoneIsLeft(): Promise<void> {
    const { signal } = this.#deps;
    let pauseMs = firstRetryMs;
    while (!(await this.#tellAll())) {
      await sleep(pauseMs, undefined, { signal, ref: false });
      pauseMs = Math.min(pauseMs * 2, longestRetryMs);
    }
  }

  /** False where some are left. */
  async #tellAll(): Promise<boolean> {
    const { locks, paths, tell, log } = this.#deps;
    if ((await this.#list()).length === 0) {
      return true;
    }
    await using lock = locks.tryLock(`${paths.pluginRemovals}.lock`);
    if (lock === undefined) {
      return false;
    }
    for (const { file, request } of await this.#list()) {
      try {
        await tell(request);
      } catch (error) {
        if (isKind(error, 'unavailable')) {
          return false;
        }
        log.warn({ file, error: messageOf(error) }, 'plugins were not told of a removal');
      }
      await rm(join(paths.pluginRemovals, file), { force: true });
    }
    return (await this.#list()).length === 0;
  }

  /** In the order in which they were removed. */
  async #list(): Promise<Kept[]> {
    const kept = (await this.#files()).map((file) => this.#read(file));
    return (await Promise.all(kept)).filter((one) => one !== undefined);
  }

  async #files(): Promise<string[]> {
    try {
      const files = await readdir(this.#deps.paths.pluginRemovals);
      return files.filter((file) => file.endsWith('.json')).toSorted();
    } catch (error) {
      if (isMissing(error)) {
        return [];
      }
      throw error;
    }
  }

  /** Undefined for one that another instance has told meanwhile, or that can't be read: nobody ever will. */
  async #read(file: string): Promise<Kept | undefined> {
    const path = join(this.#deps.paths.pluginRemovals, file);
    try {
      const { isStopped, request } = JSON.parse(await readFile(path, 'utf8')) as {
        isStopped: boolean;
        request: JsonValue;
      };
      const options = { ignoreUnknownFields: true };
      return { file, isStopped, request: fromJson(NotifyRequestSchema, request, options) };
    } catch (error) {
      if (!isMissing(error)) {
        this.#deps.log.warn({ file, error: messageOf(error) }, 'unreadable: a removal');
        await rm(path, { force: true });
      }
      return undefined;
    }
  }

  #nameOf({ pod, container }: NotifyRequest): string {
    const order = `${Date.now()}-${String(this.#count++).padStart(6, '0')}`;
    return `${order}-${container?.id ?? pod?.id ?? ''}.json`;
  }
}
