import { closeSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { messageOf } from '@gantry/errors';
import { Event } from '@gantry/proto/nri';
import type { Logger } from '@gantry/telemetry';

const once: ReadonlySet<Event> = new Set([
  Event.STOP_CONTAINER,
  Event.REMOVE_CONTAINER,
  Event.STOP_POD_SANDBOX,
  Event.REMOVE_POD_SANDBOX,
]);
/** Above so many lines those of objects that are gone for long are thrown away. */
const mostLines = 8192;
/** Of objects that are gone; a crash may bring a request of the last ones again. */
const goneKept = 512;

/**
 * Which plugin has been told of which stop and removal, and which plugins are
 * connected: a file that the next broker reads. Each line is written before the
 * plugin is told, so that none is told twice, whatever is killed when. It need
 * not survive the host: neither do the pods.
 *
 *   told <event> <id> <plugin>     here <plugin>     gone <plugin>
 */
export class ToldJournal implements Disposable {
  readonly #path: string;
  readonly #log: Pick<Logger, 'warn'>;
  /** How many plugins of each name have been told, by event and object. */
  readonly #told = new Map<string, Map<string, number>>();
  readonly #here = new Map<string, number>();
  readonly #awaited = new Map<string, number>();
  #file: number | undefined;
  #lines = 0;

  constructor(path: string, log: Pick<Logger, 'warn'>) {
    this.#path = path;
    this.#log = log;
    this.#read();
    for (const [name, count] of this.#here) {
      this.#awaited.set(name, count);
    }
    this.#rewrite();
  }

  /** Whether plugins of an earlier broker have not come back yet. */
  get isAwaiting(): boolean {
    return this.#awaited.size > 0;
  }

  /** Whether the `nth` plugin of this name, 1 the first, has been told of this stop or removal; false for other events. */
  wasTold(event: Event, id: string, plugin: string, nth: number): boolean {
    return (this.#told.get(`${event} ${id}`)?.get(plugin) ?? 0) >= nth;
  }

  /**
   * To be called right before the event is written to that plugin: a broker that
   * is killed between the two has told it nothing, and the next one does not either.
   */
  telling(event: Event, id: string, plugin: string, nth: number): void {
    if (once.has(event) && !this.wasTold(event, id, plugin, nth)) {
      this.#write(`told ${event} ${id} ${plugin}`);
      this.#count(`${event} ${id}`, plugin);
    }
  }

  /** A plugin that comes back by itself when the broker does. */
  arrived(plugin: string): void {
    if (!take(this.#awaited, plugin)) {
      add(this.#here, plugin);
      this.#write(`here ${plugin}`);
    }
  }

  left(plugin: string): void {
    if (take(this.#here, plugin)) {
      this.#write(`gone ${plugin}`);
    }
  }

  /** Waits no longer for those of an earlier broker. */
  giveUp(): void {
    for (const [name, count] of [...this.#awaited]) {
      for (let n = 0; n < count; n++) {
        take(this.#awaited, name);
        this.left(name);
      }
    }
  }

  /** Keeps the file short: `isKnown` says which objects are not gone yet. */
  shorten(isKnown: (id: string) => boolean): void {
    if (this.#lines < mostLines) {
      return;
    }
    const gone = [...this.#told.keys()].filter((key) => !isKnown(key.split(' ')[1] ?? ''));
    for (const key of gone.slice(0, -goneKept)) {
      this.#told.delete(key);
    }
    this.#rewrite();
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) {
      closeSync(this.#file);
      this.#file = undefined;
    }
  }

  #count(key: string, plugin: string): void {
    const plugins = this.#told.get(key) ?? new Map<string, number>();
    add(plugins, plugin);
    this.#told.set(key, plugins);
  }

  #read(): void {
    for (const line of readLines(this.#path)) {
      const [what, ...words] = line.split(' ');
      const [first = '', id = '', plugin = ''] = words;
      if (what === 'told' && words.length === 3) {
        this.#count(`${first} ${id}`, plugin);
      } else if (what === 'here') {
        add(this.#here, first);
      } else if (what === 'gone') {
        take(this.#here, first);
      }
    }
  }

  #rewrite(): void {
    const lines = [
      ...linesOf(this.#here).map((name) => `here ${name}`),
      ...[...this.#told].flatMap(([key, plugins]) =>
        linesOf(plugins).map((name) => `told ${key} ${name}`),
      ),
    ];
    this.#quietly(() => {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      const file = openSync(`${this.#path}.new`, 'w', 0o600);
      writeSync(file, lines.map((line) => `${line}\n`).join(''));
      renameSync(`${this.#path}.new`, this.#path);
      this[Symbol.dispose]();
      this.#file = file;
      this.#lines = lines.length;
    });
  }

  #write(line: string): void {
    this.#lines++;
    this.#quietly(() => {
      if (this.#file !== undefined) {
        writeSync(this.#file, `${line}\n`);
      }
    });
  }

  /** A full disk must not keep plugins from being told. */
  #quietly(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#log.warn({ file: this.#path, error: messageOf(error) }, 'note what plugins know');
    }
  }
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** False where there is none. */
function take(counts: Map<string, number>, name: string): boolean {
  const count = counts.get(name) ?? 0;
  if (count > 1) {
    counts.set(name, count - 1);
  } else {
    counts.delete(name);
  }
  return count > 0;
}

function linesOf(counts: ReadonlyMap<string, number>): string[] {
  return [...counts].flatMap(([name, count]) => Array<string>(count).fill(name));
}

/** Without a last one that a crash has cut off: it was not told yet. */
function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(0, -1);
  } catch {
    return [];
  }
}
