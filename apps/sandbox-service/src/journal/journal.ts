import { messageOf } from '@gantry/errors';
import type { Store } from '@gantry/store';
import { Trail, type TrailMark } from './trail.ts';

export type OperationKind =
  | 'run-pod-sandbox'
  | 'stop-pod-sandbox'
  | 'remove-pod-sandbox'
  | 'create-container'
  | 'start-container'
  | 'stop-container'
  | 'update-container'
  | 'remove-container';

/** How an operation ended; `repaired` means that its process died and another one cleaned up. */
export type Outcome = 'done' | 'failed' | 'repaired';

/** What is written down of an operation. */
export interface OperationRecord {
  readonly id: number;
  readonly kind: OperationKind;
  readonly objectId: string;
  readonly sandboxId: string;
  /** The instance of this service that ran it. */
  readonly instance: string;
  /** ISO 8601. */
  readonly begunAt: string;
  readonly endedAt: string | null;
  /** Null while it runs, or after the process that ran it died. */
  readonly outcome: Outcome | null;
  readonly error: string | null;
  readonly trail: readonly TrailMark[];
}

/** An operation that this process runs. */
export interface Operation {
  readonly id: number;
  readonly kind: OperationKind;
  readonly trail: Trail;
}

type Row = Omit<OperationRecord, 'trail'> & { readonly trail: string };

const columns =
  'id, kind, object_id AS objectId, sandbox_id AS sandboxId, instance, begun_at AS begunAt, ended_at AS endedAt, outcome, error, trail';

const slowMs = 1000;

/**
 * The operations of this node, the last `keep` of them: what an operation
 * intends stands here before it changes the host, so that a crash is repaired,
 * and how it went stays here for those who ask why.
 */
export class Journal implements Disposable {
  readonly #store: Store;
  readonly #instance: string;
  readonly #keep: number;
  readonly #timers = new Map<number, NodeJS.Timeout>();

  constructor(store: Store, options: { readonly instance: string; readonly keep?: number }) {
    this.#store = store;
    this.#instance = options.instance;
    this.#keep = options.keep ?? 2000;
  }

  /** Belongs in the transaction that writes the object's record. */
  begin(kind: OperationKind, objectId: string, sandboxId: string): Operation {
    const row = this.#store
      .prepare<{ id: number }>(
        `INSERT INTO operations (kind, object_id, sandbox_id, instance, begun_at)
         VALUES (?, ?, ?, ?, ?) RETURNING id`,
      )
      .get(kind, objectId, sandboxId, this.#instance, new Date().toISOString());
    const id = row?.id ?? 0;
    let slow = false;
    const trail = new Trail(() => {
      if (slow) {
        this.#writeTrail(id, trail);
      }
    });
    // A quick operation writes its trail once, at its end; that of a slow one
    // can be read while it hangs, and after its process has died.
    const timer = setTimeout(() => {
      slow = true;
      this.#writeTrail(id, trail);
    }, slowMs);
    timer.unref();
    this.#timers.set(id, timer);
    return { id, kind, trail };
  }

  /** Belongs in the transaction that writes the object's record. */
  end(operation: Operation, outcome: Outcome, error?: unknown): void {
    clearTimeout(this.#timers.get(operation.id));
    this.#timers.delete(operation.id);
    this.#store
      .prepare('UPDATE operations SET ended_at = ?, outcome = ?, error = ?, trail = ? WHERE id = ?')
      .run(
        new Date().toISOString(),
        outcome,
        error === undefined ? null : messageOf(error),
        JSON.stringify(operation.trail.marks),
        operation.id,
      );
    this.#trim(operation.id);
  }

  /** Ends the operation of a process that died. */
  repaired(record: OperationRecord, how: string): void {
    this.#store
      .prepare('UPDATE operations SET ended_at = ?, outcome = ?, error = ? WHERE id = ?')
      .run(new Date().toISOString(), 'repaired', how, record.id);
  }

  /** Operations on a pod and its containers that have not ended, oldest first. Whoever holds the pod's lock knows that nobody runs them. */
  open(sandboxId: string): readonly OperationRecord[] {
    return this.#store
      .prepare<Row>(
        `SELECT ${columns} FROM operations WHERE sandbox_id = ? AND outcome IS NULL ORDER BY id`,
      )
      .all(sandboxId)
      .map(recordOf);
  }

  /** Everything that is still known to have been done to an object, oldest first. */
  of(objectId: string): readonly OperationRecord[] {
    return this.#store
      .prepare<Row>(`SELECT ${columns} FROM operations WHERE object_id = ? ORDER BY id`)
      .all(objectId)
      .map(recordOf);
  }

  /** The same of the containers of a pod, also of those that are gone. */
  ofContainers(sandboxId: string): readonly OperationRecord[] {
    return this.#store
      .prepare<Row>(
        `SELECT ${columns} FROM operations WHERE sandbox_id = ? AND object_id <> sandbox_id ORDER BY id`,
      )
      .all(sandboxId)
      .map(recordOf);
  }

  /** Ids of objects that operations were about and that begin with `prefix`, at most two. */
  objectsLike(prefix: string): readonly string[] {
    return this.#store
      .prepare<{ id: string }>(
        'SELECT DISTINCT object_id AS id FROM operations WHERE object_id >= ? AND object_id < ? LIMIT 2',
      )
      .all(prefix, `${prefix}g`)
      .map((row) => row.id);
  }

  /** Writes no trail any more; what is open stays open. */
  [Symbol.dispose](): void {
    for (const timer of this.#timers.values()) {
      clearTimeout(timer);
    }
    this.#timers.clear();
  }

  #writeTrail(id: number, trail: Trail): void {
    if (!this.#timers.has(id)) {
      return;
    }
    try {
      this.#store
        .prepare('UPDATE operations SET trail = ? WHERE id = ? AND outcome IS NULL')
        .run(JSON.stringify(trail.marks), id);
    } catch {
      // It only informs: a full disk must not fail the operation here.
    }
  }

  #trim(last: number): void {
    if (last % 100 === 0) {
      this.#store
        .prepare('DELETE FROM operations WHERE id <= ? AND outcome IS NOT NULL')
        .run(last - this.#keep);
    }
  }
}

function recordOf(row: Row): OperationRecord {
  return { ...row, trail: JSON.parse(row.trail) as TrailMark[] };
}
