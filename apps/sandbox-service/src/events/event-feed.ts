import { messageOf, RuntimeError } from '@gantry/errors';
import type { Logger } from '@gantry/telemetry';
import type { Paths } from '../paths.ts';
import { keptBytes } from '../store/event-migration.ts';
import type { EventRecord, EventStore } from '../store/event-store.ts';
import type { Records } from '../store/records.ts';
import { type ContainerEvent, containerEvent } from './container-event.ts';
import { EventQueue } from './event-queue.ts';
import { openWakeFile, type WakeFile } from './wake-file.ts';

interface Deps {
  readonly records: Records;
  readonly paths: Pick<Paths, 'events'>;
  readonly log: Pick<Logger, 'warn'>;
}

/** What may wait for one client. */
const mostWaiting = 2048;
/** Read in one go, before others get their turn. */
const batch = 32;
/** Clients lost at a restart have connected again by then. */
const reconnectMs = 60_000;
/** What an instance that is killed may have on its way to clients is not older; a supervisor has the next one up by then. */
const unsureMs = 10_000;

/** Starts to hand out the events of all instances; the records stay the caller's. */
export async function startEventFeed(deps: Deps): Promise<EventFeed> {
  const { records, paths, log } = deps;
  const feed = new EventFeed(records, log);
  const file = await openWakeFile(paths.events, feed.onWake, (err) => {
    log.warn({ err }, 'wake those who wait for events');
  });
  feed.closes(file);
  records.onChange(() => {
    file.wake();
  });
  // An instance may have died between a change and its touch of the file.
  file.wake();
  return feed;
}

/**
 * Gives every client every event, in one order. Events stand in the records,
 * numbered by the transaction that made the change; here they are read once
 * for all clients of this instance, when any instance says that there are new
 * ones.
 *
 * A client begins with the event after its call. Only what an instance finds
 * out at its start, as that a container has exited meanwhile, and what came in
 * the last ten seconds before it, is given to those too that connect within a
 * minute, to any instance: the call of theirs that ended with the instance
 * before may not have had it. Whoever had it gets it twice, with its old time.
 */
export class EventFeed implements Disposable {
  readonly #events: EventStore;
  readonly #log: Deps['log'];
  readonly #clients = new Set<EventQueue<ContainerEvent>>();
  readonly #start: number;
  #last: number;
  #reading = false;
  #file: WakeFile | undefined;
  #isClosed = false;

  constructor(records: Records, log: Deps['log']) {
    this.#events = records.events;
    this.#log = log;
    this.#start = records.commit(() => this.#events.noteStart(reconnectMs, unsureMs));
    this.#last = this.#events.last();
  }

  /** Has `file` closed with the feed. */
  closes(file: WakeFile): void {
    this.#file = file;
  }

  /** What was to be found out at the start has been. */
  noteRecovery(): void {
    if (this.#isClosed) {
      return;
    }
    try {
      this.#events.noteFound(this.#start);
    } catch (err) {
      this.#log.warn(
        { err },
        'note what was found at the start: clients that connect now may get later events twice',
      );
    }
  }

  /**
   * Events from this call on, until `signal` aborts. Throws `resource-exhausted`
   * for a client that is too slow, `unavailable` when the service stops.
   */
  async *subscribe(signal: AbortSignal): AsyncGenerator<ContainerEvent> {
    if (this.#isClosed) {
      throw stopping();
    }
    const queue = new EventQueue<ContainerEvent>(mostWaiting, keptBytes);
    this.#catchUp();
    this.#replay(queue);
    this.#clients.add(queue);
    try {
      yield* queue.take(signal);
    } finally {
      this.#clients.delete(queue);
    }
  }

  readonly onWake = (): void => {
    if (this.#reading || this.#clients.size === 0 || this.#isClosed) {
      return;
    }
    this.#reading = this.#read() === batch;
    if (this.#reading) {
      setImmediate(() => {
        this.#reading = false;
        this.onWake();
      });
    }
  };

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#file?.[Symbol.dispose]();
    this.#endAll(stopping());
  }

  /** So that a new client gets nothing from before its call. */
  #catchUp(): void {
    if (this.#clients.size === 0) {
      this.#last = this.#events.last();
    }
    while (this.#read() === batch) {
      // There are more.
    }
  }

  #replay(queue: EventQueue<ContainerEvent>): void {
    for (const event of this.#events.foundAtStarts(reconnectMs)) {
      if (event.seq <= this.#last) {
        queue.push(containerEvent(event), event.bytes);
      }
    }
  }

  /** Hands out the next few; returns how many there were. */
  #read(): number {
    try {
      const events = this.#events.after(this.#last, batch);
      const [first] = events;
      if (first !== undefined && first.seq !== this.#last + 1) {
        const lost = `container events: ${first.seq - this.#last - 1} were too many to keep`;
        this.#endAll(new RuntimeError('resource-exhausted', lost));
      }
      for (const event of events) {
        this.#hand(event);
      }
      return events.length;
    } catch (err) {
      this.#log.warn({ err }, 'read events: ending the streams of those who wait for them');
      this.#endAll(new RuntimeError('unavailable', `container events: ${messageOf(err)}`));
      return 0;
    }
  }

  #hand(event: EventRecord): void {
    this.#last = event.seq;
    if (this.#clients.size > 0) {
      const message = containerEvent(event);
      for (const client of this.#clients) {
        client.push(message, event.bytes);
      }
    }
  }

  #endAll(error: Error): void {
    for (const client of this.#clients) {
      client.end(error);
    }
    this.#clients.clear();
  }
}

function stopping(): RuntimeError {
  return new RuntimeError('unavailable', 'container events: sandbox-service is stopping');
}
