import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '@gantry/host';
import { boolean, fallback, number, object, optional, safeParse, string } from 'valibot';
import { isMissing } from '../errno.ts';

// Another version of this service may have written it, and what can't be read must block no stop.
const schema = object({
  handler: fallback(string(), ''),
  runtimePath: fallback(optional(string()), undefined),
  bundleDir: fallback(optional(string()), undefined),
  cgroupPath: fallback(optional(string()), undefined),
  ownPids: fallback(boolean(), false),
  unclaimedOomKills: fallback(optional(number()), undefined),
});

/** What is noted of a container before its conmon starts, so that it can be found by its id alone. */
export interface LaunchRecord {
  readonly id: string;
  /** Empty where the record does not tell. */
  readonly handler: string;
  /** Of the handler's binary, for when the handler is no longer configured. */
  readonly runtimePath?: string | undefined;
  readonly bundleDir?: string | undefined;
  /** As in BundleFacts. */
  readonly cgroupPath?: string | undefined;
  /** As in BundleFacts; false, the safe guess, where the record does not tell. */
  readonly ownPids: boolean;
  /** As OomKills told before the container was made; undefined where the record does not tell. */
  readonly unclaimedOomKills?: number | undefined;
}

/** One small file per container under `dir`; on a volatile file system, as the containers are. */
export class LaunchRecords {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async write(record: LaunchRecord): Promise<void> {
    await writeFileAtomic(this.#file(record.id), JSON.stringify(record), { mode: 0o600 });
  }

  /** Fields that it has and that are understood; undefined where there is no record, or nothing of one. */
  read(id: string): LaunchRecord | undefined {
    let text: string;
    try {
      text = readFileSync(this.#file(id), 'utf8');
    } catch (error) {
      if (isMissing(error)) {
        return undefined;
      }
      throw error;
    }
    const record = safeParse(schema, parseJson(text));
    return record.success ? { id, ...record.output } : undefined;
  }

  remove(id: string): void {
    rmSync(this.#file(id), { force: true });
  }

  /** The ids of every container of `handler` that has a record. */
  idsOf(handler: string): string[] {
    const names = readdirSync(this.#dir);
    const ids = names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5));
    const records = ids.map((id) => this.read(id));
    return records.flatMap((record) => (record?.handler === handler ? [record.id] : []));
  }

  #file(id: string): string {
    return join(this.#dir, `${id}.json`);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
