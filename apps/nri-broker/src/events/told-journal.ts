import { messageOf } from '@gantry/errors';
import { faultPoint, hasRoom, SendMark } from '@gantry/host';
import { Event } from '@gantry/proto/nri';
import type { Logger } from '@gantry/telemetry';
import type { SendLastOn } from '../plugins/plugin.ts';
import { JournalFile } from './journal-file.ts';

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
const atMostOnce =
  'a stop or removal that nri-broker is killed in the midst of may be told to no plugin: no mark';

/**
 * What plugins have been told of, which of them of which stop and removal, and
 * which are connected: a file that the next broker reads. The last byte of a
 * message is what tells, and of that byte a mark says whether it was sent: so the
 * next broker knows, whatever is killed when, and tells each of them once.
 *
 *   made <id>                         plugins are about to be told of it
 *   removed <id>
 *   telling <event> <id> <plugin>     the byte is about to be sent
 *   told <event> <id> <plugin>        it was
 *   untold <event> <id> <plugin>      it did not understand
 *   here <plugin>
 *   gone <plugin>
 */
export class ToldJournal implements Disposable {
  readonly #file: JournalFile;
  readonly #markPath: string;
  readonly #log: Pick<Logger, 'warn'>;
  readonly #made = new Set<string>();
  /** How many plugins of each name have been told, by event and object. */
  readonly #told = new Map<string, Map<string, number>>();
  readonly #here = new Map<string, number>();
  readonly #awaited: Map<string, number>;
  /** Made when it is first needed; without a mark where there can be none. */
  #mark: { readonly mark?: SendMark } | undefined;

  constructor(path: string, log: Pick<Logger, 'warn'>) {
    this.#file = new JournalFile(path, log);
    this.#markPath = `${path}.mark`;
    this.#log = log;
    this.#read();
    this.#awaited = new Map(this.#here);
    this.#rewrite();
  }

  /** Whether plugins of an earlier broker have not come back yet. */
  get isAwaiting(): boolean {
    return this.#awaited.size > 0;
  }

  /** Ids of what plugins were told of, by an earlier broker too, and not of its removal. */
  get madeIds(): Iterable<string> {
    return this.#made;
  }

  made(id: string): void {
    if (!this.#made.has(id)) {
      this.#made.add(id);
      this.#file.append(`made ${id}`);
    }
  }

  removed(id: string): void {
    if (this.#made.delete(id)) {
      this.#file.append(`removed ${id}`);
    }
  }

  /** Whether the `nth` plugin of this name, 1 the first, has been told of this stop or removal; false for other events. */
  wasTold(event: Event, id: string, plugin: string, nth: number): boolean {
    return (this.#told.get(`${event} ${id}`)?.get(plugin) ?? 0) >= nth;
  }

  /**
   * How the last byte of the message is to be sent, of a stop or removal; undefined
   * for other events. It may be called once more, where the plugin has not
   * understood and is told in another way. Where the file system keeps no access
   * times, the note is made here and now: then it is told once at most.
   */
  telling(event: Event, id: string, plugin: string, nth: number): SendLastOn | undefined {
    if (!once.has(event)) {
      return undefined;
    }
    this.#mark ??= this.#newMark();
    const { mark } = this.#mark;
    const object = `${event} ${id}`;
    if (mark === undefined) {
      this.#noteTold(object, plugin);
      return undefined;
    }
    return (socket, byte) => {
      if (!hasRoom(socket)) {
        return false;
      }
      if (this.wasTold(event, id, plugin, nth)) {
        this.#count(object, plugin, -1);
        this.#file.append(`untold ${object} ${plugin}`);
      }
      mark.reset();
      this.#file.append(`telling ${object} ${plugin}`);
      faultPoint('told-journal:telling');
      const isSent = sendOrReset(mark, socket, byte);
      if (isSent) {
        faultPoint('told-journal:sent');
        this.#noteTold(object, plugin);
      }
      return isSent;
    };
  }

  /** A plugin that comes back by itself when the broker does. */
  arrived(plugin: string): void {
    if (!take(this.#awaited, plugin)) {
      add(this.#here, plugin);
      this.#file.append(`here ${plugin}`);
    }
  }

  left(plugin: string): void {
    if (take(this.#here, plugin)) {
      this.#file.append(`gone ${plugin}`);
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
    if (this.#file.length < mostLines) {
      return;
    }
    const gone = [...this.#told.keys()].filter((key) => !isKnown(key.split(' ')[1] ?? ''));
    for (const key of gone.slice(0, -goneKept)) {
      this.#told.delete(key);
    }
    this.#rewrite();
  }

  [Symbol.dispose](): void {
    this.#mark?.mark?.[Symbol.dispose]();
    this.#mark = {};
    this.#file[Symbol.dispose]();
  }

  #newMark(): { mark?: SendMark } {
    const file = this.#markPath;
    try {
      const mark = SendMark.make(file);
      if (mark.isKept) {
        return { mark };
      }
      mark[Symbol.dispose]();
      this.#log.warn({ file, error: 'its file system keeps no access times' }, atMostOnce);
    } catch (error) {
      this.#log.warn({ file, error: messageOf(error) }, atMostOnce);
    }
    return {};
  }

  #noteTold(object: string, plugin: string): void {
    this.#file.append(`told ${object} ${plugin}`);
    this.#count(object, plugin, 1);
  }

  #count(object: string, plugin: string, change: 1 | -1): void {
    const plugins = this.#told.get(object) ?? new Map<string, number>();
    if (change === 1) {
      add(plugins, plugin);
    } else {
      take(plugins, plugin);
    }
    this.#told.set(object, plugins);
  }

  #read(): void {
    let telling: readonly [object: string, plugin: string] | undefined;
    const readers: Record<string, (first: string, object: string, plugin: string) => void> = {
      made: (id) => this.#made.add(id),
      removed: (id) => this.#made.delete(id),
      telling: (_, object, plugin) => {
        telling = [object, plugin];
      },
      told: (_, object, plugin) => {
        telling = undefined;
        this.#count(object, plugin, 1);
      },
      untold: (_, object, plugin) => {
        this.#count(object, plugin, -1);
      },
      here: (plugin) => {
        add(this.#here, plugin);
      },
      gone: (plugin) => {
        take(this.#here, plugin);
      },
    };
    for (const line of this.#file.read()) {
      const [what = '', first = '', id = '', plugin = ''] = line.split(' ');
      readers[what]?.(first, `${first} ${id}`, plugin);
    }
    // Without a mark nobody knows: rather not at all than twice.
    if (telling !== undefined && (SendMark.wasSent(this.#markPath) ?? true)) {
      this.#count(...telling, 1);
    }
  }

  #rewrite(): void {
    this.#file.replace([
      ...[...this.#made].map((id) => `made ${id}`),
      ...linesOf(this.#here).map((name) => `here ${name}`),
      ...[...this.#told].flatMap(([key, plugins]) =>
        linesOf(plugins).map((name) => `told ${key} ${name}`),
      ),
    ]);
  }
}

/** What could not be sent is not to count as sent. */
function sendOrReset(mark: SendMark, socket: number, byte: number): boolean {
  let isSent = false;
  try {
    isSent = mark.send(socket, byte);
  } finally {
    if (!isSent) {
      mark.reset();
    }
  }
  return isSent;
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
