import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@gantry/host';
import { boolean, object, optional, parse, string } from 'valibot';

const schema = object({
  id: string(),
  handler: string(),
  bundleDir: string(),
  cgroupPath: optional(string()),
  ownPids: boolean(),
});

/** What is noted of a container before its conmon starts, so that it can be found by its id alone. */
export interface LaunchRecord {
  readonly id: string;
  readonly handler: string;
  readonly bundleDir: string;
  /** As in BundleFacts. */
  readonly cgroupPath?: string | undefined;
  readonly ownPids: boolean;
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

  async read(id: string): Promise<LaunchRecord | undefined> {
    try {
      return parse(schema, JSON.parse(await readFile(this.#file(id), 'utf8')));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
        return undefined;
      }
      throw error;
    }
  }

  async remove(id: string): Promise<void> {
    await rm(this.#file(id), { force: true });
  }

  /** The ids of every container of `handler` that has a record. */
  async idsOf(handler: string): Promise<string[]> {
    const names = await readdir(this.#dir);
    const ids = names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5));
    const records = await Promise.all(ids.map((id) => this.read(id)));
    return records.flatMap((record) => (record?.handler === handler ? [record.id] : []));
  }

  #file(id: string): string {
    return join(this.#dir, `${id}.json`);
  }
}
