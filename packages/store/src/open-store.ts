import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
// biome-ignore lint/correctness/noUnresolvedImports: Biome's list of Node's modules lacks this one
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { RuntimeError } from '@gantry/errors';
import { migrate } from './migrate.ts';
import { Reserve } from './reserve.ts';
import { isFull, moveAside, storeError } from './store-error.ts';

const busyTimeoutMs = 10_000;

export type Parameter = null | number | bigint | string | Uint8Array;

export interface RunResult {
  /** Rows inserted, changed or deleted. */
  readonly changes: number;
}

/** A prepared statement; parameters are positional (`?`). */
export interface Statement<T> {
  /** The first row, or undefined when there is none. */
  get(...parameters: readonly Parameter[]): T | undefined;
  all(...parameters: readonly Parameter[]): T[];
  run(...parameters: readonly Parameter[]): RunResult;
}

/**
 * One connection to a database file. Every call is synchronous: keep what is
 * stored small. A call that fails throws a RuntimeError that names the file
 * (see storeError for the kinds).
 */
export interface Store extends Disposable {
  readonly path: string;
  /** Compiles `sql` once; the same text gives the same statement again. The row type is the caller's word. */
  prepare<T = unknown>(sql: string): Statement<T>;
  /**
   * Runs `fn` in one BEGIN IMMEDIATE transaction: on disk when this returns,
   * undone when `fn` throws. `fn` must be synchronous and must not start
   * another transaction.
   */
  transaction<T>(fn: () => T): T;
}

export interface StoreOptions {
  /**
   * SQL scripts, oldest first; append only. The file's user_version says how
   * many of them have been applied.
   */
  readonly migrations: readonly string[];
  /**
   * Sets 4 MiB aside in `<path>.reserve`, given up when the disk is full: the
   * call that met the full disk fails with `resource-exhausted`, and works when
   * it is made again. For records without which nothing can be removed.
   */
  readonly reserve?: boolean;
}

/**
 * Opens (or makes, mode 0600, with its directory) a SQLite file in WAL mode
 * with synchronous=FULL, checks it, and applies the migrations that it lacks.
 * Any number of processes may open the same file at once: one migrates, the
 * others wait. Throws `failed-precondition` for a file that is damaged, that is
 * no database or that a newer version has written.
 */
export function openStore(path: string, options: StoreOptions): Store {
  let db: DatabaseSync | undefined;
  try {
    createPrivately(path);
    db = new DatabaseSync(path, { timeout: busyTimeoutMs, enableForeignKeyConstraints: true });
    enterWalMode(db);
    db.exec('PRAGMA synchronous=FULL');
    check(db, path);
    migrate(db, path, options.migrations);
    const reserve = options.reserve === true ? new Reserve(`${path}.reserve`) : undefined;
    reserve?.renew();
    return new SqliteStore(db, path, reserve);
  } catch (error) {
    db?.close();
    throw storeError(error, path, 'open store');
  }
}

// An existing file is not touched: to close a second descriptor of it would drop
// the locks that SQLite holds elsewhere in this process (fcntl locks are per process).
function createPrivately(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw error;
    }
  }
}

// SQLite does not wait for the lock that this switch needs, so two first openers would collide.
function enterWalMode(db: DatabaseSync): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (const end = performance.now() + busyTimeoutMs; ; ) {
    try {
      db.exec('PRAGMA journal_mode=WAL');
      return;
    } catch (error) {
      const isBusy = (error as { errcode?: number }).errcode === 5;
      if (!isBusy || performance.now() > end) {
        throw error;
      }
      Atomics.wait(pause, 0, 0, 5);
    }
  }
}

function check(db: DatabaseSync, path: string): void {
  const row = db.prepare('PRAGMA quick_check(1)').get();
  const verdict = row?.['quick_check'];
  if (verdict !== 'ok') {
    throw new RuntimeError(
      'failed-precondition',
      `open store ${path}: ${moveAside()}: ${String(verdict)}`,
    );
  }
}

class SqliteStore implements Store {
  readonly path: string;
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, SqliteStatement<unknown>>();
  readonly #reserve: Reserve | undefined;
  #inTransaction = false;

  constructor(db: DatabaseSync, path: string, reserve: Reserve | undefined) {
    this.#db = db;
    this.path = path;
    this.#reserve = reserve;
  }

  prepare<T = unknown>(sql: string): Statement<T> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      try {
        statement = new SqliteStatement(this.#db.prepare(sql), this.path, this.#reserve);
      } catch (error) {
        throw storeError(error, this.path, `prepare "${sql}" in`);
      }
      this.#statements.set(sql, statement);
    }
    return statement as Statement<T>;
  }

  transaction<T>(fn: () => T): T {
    if (this.#inTransaction) {
      throw new RuntimeError('internal', `begin in ${this.path}: a transaction is open already`);
    }
    this.#exec('BEGIN IMMEDIATE');
    this.#inTransaction = true;
    try {
      const result = fn();
      if (result instanceof Promise) {
        result.catch(() => undefined);
        throw new RuntimeError('internal', `transaction in ${this.path}: it must be synchronous`);
      }
      this.#exec('COMMIT');
      this.#reserve?.renew();
      return result;
    } catch (error) {
      this.#rollback();
      throw error;
    } finally {
      this.#inTransaction = false;
    }
  }

  // SQLite has rolled back by itself after some faults (a full disk, for one).
  #rollback(): void {
    if (this.#db.isTransaction) {
      this.#exec('ROLLBACK');
    }
  }

  #exec(sql: string): void {
    try {
      this.#db.exec(sql);
    } catch (error) {
      giveUpIfFull(this.#reserve, error);
      throw storeError(error, this.path, `${sql.toLowerCase()} in`);
    }
  }

  /** Writes the log back into the file if no one else reads it, and closes. Idempotent. */
  [Symbol.dispose](): void {
    if (!this.#db.isOpen) {
      return;
    }
    this.#statements.clear();
    try {
      // Without waiting: what stays in the log is as safe there as in the file.
      this.#db.exec('PRAGMA busy_timeout=0; PRAGMA wal_checkpoint(TRUNCATE)');
    } catch {
      // Nothing is lost: the next opener does it.
    } finally {
      this.#db.close();
    }
  }
}

class SqliteStatement<T> implements Statement<T> {
  readonly #statement: StatementSync;
  readonly #path: string;
  readonly #reserve: Reserve | undefined;

  constructor(statement: StatementSync, path: string, reserve: Reserve | undefined) {
    this.#statement = statement;
    this.#path = path;
    this.#reserve = reserve;
  }

  get(...parameters: readonly SQLInputValue[]): T | undefined {
    return this.#guard(() => this.#statement.get(...parameters) as T | undefined);
  }

  all(...parameters: readonly SQLInputValue[]): T[] {
    return this.#guard(() => this.#statement.all(...parameters) as T[]);
  }

  run(...parameters: readonly SQLInputValue[]): RunResult {
    return this.#guard(() => ({ changes: Number(this.#statement.run(...parameters).changes) }));
  }

  #guard<R>(call: () => R): R {
    try {
      return call();
    } catch (error) {
      giveUpIfFull(this.#reserve, error);
      throw storeError(error, this.#path, `"${this.#statement.sourceSQL}" in`);
    }
  }
}

function giveUpIfFull(reserve: Reserve | undefined, error: unknown): void {
  if (isFull(error)) {
    reserve?.giveUp();
  }
}
