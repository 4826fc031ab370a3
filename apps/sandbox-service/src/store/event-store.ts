import type { ContainerEventType } from '@gantry/proto';
import type { Store } from '@gantry/store';
import type { Container, ContainerRow, ContainerStore } from './container-store.ts';
import type { Sandbox, SandboxRow, SandboxStore } from './sandbox-store.ts';

/** A state change of a pod or container, with the records of its pod as they were then. */
export interface EventRecord {
  /** One more than that of the event before. */
  readonly seq: number;
  readonly type: ContainerEventType;
  /** Of the container; of the pod for its own events. */
  readonly objectId: string;
  readonly atMs: number;
  /** Absent once it was removed. */
  readonly sandbox?: Sandbox;
  readonly containers: readonly Container[];
}

interface Row {
  seq: number;
  type: ContainerEventType;
  object_id: string;
  at_ms: number;
}

/** The last events of the node, of all instances, written by triggers; see event-migration.ts. */
export class EventStore {
  readonly #store: Store;
  readonly #sandboxes: SandboxStore;
  readonly #containers: ContainerStore;

  constructor(store: Store, sandboxes: SandboxStore, containers: ContainerStore) {
    this.#store = store;
    this.#sandboxes = sandboxes;
    this.#containers = containers;
  }

  /** The number of the newest event; 0 when there was none. */
  last(): number {
    return (
      this.#store.prepare<{ seq: number | null }>('SELECT max(seq) AS seq FROM events').get()
        ?.seq ?? 0
    );
  }

  /** Those after number `seq`, oldest first, at most `limit`. */
  after(seq: number, limit: number): readonly EventRecord[] {
    return this.#store
      .prepare<Row>('SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?')
      .all(seq, limit)
      .map((row) => this.#eventOf(row));
  }

  #eventOf(row: Row): EventRecord {
    const sandbox = this.#store
      .prepare<SandboxRow>('SELECT * FROM event_sandboxes WHERE event = ?')
      .get(row.seq);
    const containers = this.#store
      .prepare<ContainerRow>('SELECT * FROM event_containers WHERE event = ?')
      .all(row.seq);
    return {
      seq: row.seq,
      type: row.type,
      objectId: row.object_id,
      atMs: row.at_ms,
      ...(sandbox === undefined ? {} : { sandbox: this.#sandboxes.decode(sandbox, false) }),
      containers: containers.map((container) => this.#containers.decode(container, false)),
    };
  }
}
