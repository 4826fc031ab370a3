import { openStore, type Store } from '@gantry/store';
import { isReadOnly } from './read-only-method.ts';
import type { SpanRecord } from './span-record.ts';

/** The schema of traces.db; a later version appends, never edits. */
export const traceMigrations: readonly string[] = [
  `CREATE TABLE traces (
     trace_id   TEXT PRIMARY KEY,
     is_poll    INTEGER NOT NULL,
     failed     INTEGER NOT NULL,
     started_us INTEGER NOT NULL,
     ended_us   INTEGER NOT NULL,
     span_count INTEGER NOT NULL
   ) WITHOUT ROWID;
   CREATE INDEX traces_by_kind ON traces (is_poll, failed, ended_us);
   CREATE INDEX traces_by_end ON traces (ended_us);
   CREATE TABLE spans (
     trace_id    TEXT NOT NULL,
     span_id     TEXT NOT NULL,
     parent_id   TEXT,
     name        TEXT NOT NULL,
     service     TEXT NOT NULL,
     instance    TEXT NOT NULL,
     start_us    INTEGER NOT NULL,
     duration_us INTEGER NOT NULL,
     failed      INTEGER NOT NULL,
     message     TEXT NOT NULL,
     attributes  TEXT NOT NULL,
     PRIMARY KEY (trace_id, span_id)
   ) WITHOUT ROWID;`,
];

const maxSpansPerTrace = 2000; // A caller that repeats one traceparent for ever must not fill the disk.

export interface TraceStore extends Disposable {
  /** Adds the spans in one transaction. Throws what SQLite throws: a busy database too. */
  add(spans: readonly SpanRecord[]): void;
  /** Removes the oldest traces beyond the limits. */
  trim(): void;
}

/**
 * Opens the trace database for writing. It is shared by every process of the
 * node. `keepTraces` traces stay; polls (methods that only read, which a
 * kubelet calls all day long) get a tenth of them while they succeed and three
 * tenths while they fail, so that what changed something stays the longest.
 */
export function openTraceStore(file: string, keepTraces: number): TraceStore {
  const store = openStore(file, { migrations: traceMigrations });
  // Losing the last traces in a power cut is cheaper than an fsync for each batch, and a busy
  // database is better tried again than waited for: the wait would stop the whole service.
  store.prepare('PRAGMA synchronous = NORMAL').all();
  store.prepare('PRAGMA busy_timeout = 20').all();
  return {
    add: (spans) => {
      store.transaction(() => {
        for (const span of spans) {
          addSpan(store, span);
        }
      });
    },
    trim: () => {
      trim(store, keepTraces);
    },
    [Symbol.dispose]: () => {
      store[Symbol.dispose]();
    },
  };
}

function addSpan(store: Store, span: SpanRecord): void {
  const known = store
    .prepare<{ span_count: number }>('SELECT span_count FROM traces WHERE trace_id = ?')
    .get(span.traceId);
  if (known !== undefined && known.span_count >= maxSpansPerTrace) {
    return;
  }
  // Only the first span of a process tells what the request was; the others change nothing of it.
  const isPoll = !span.localRoot || isReadOnly(span.name);
  store
    .prepare(
      `INSERT INTO traces (trace_id, is_poll, failed, started_us, ended_us, span_count)
       VALUES (?, ?, ?, ?, ?, 1)
       ON CONFLICT (trace_id) DO UPDATE SET
         is_poll = min(is_poll, excluded.is_poll),
         failed = max(failed, excluded.failed),
         started_us = min(started_us, excluded.started_us),
         ended_us = max(ended_us, excluded.ended_us),
         span_count = span_count + 1`,
    )
    .run(
      span.traceId,
      isPoll ? 1 : 0,
      span.failed ? 1 : 0,
      span.startUs,
      span.startUs + span.durationUs,
    );
  store
    .prepare('INSERT OR REPLACE INTO spans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    .run(
      span.traceId,
      span.spanId,
      span.parentId ?? null,
      span.name,
      span.service,
      span.instance,
      span.startUs,
      span.durationUs,
      span.failed ? 1 : 0,
      span.message,
      JSON.stringify(span.attributes),
    );
}

function trim(store: Store, keep: number): void {
  store.transaction(() => {
    removeBeyond(store, 'WHERE is_poll = 1 AND failed = 0', Math.floor(keep / 10));
    removeBeyond(store, 'WHERE is_poll = 1 AND failed = 1', Math.floor((keep * 3) / 10));
    removeBeyond(store, '', keep);
  });
}

function removeBeyond(store: Store, where: string, keep: number): void {
  const old = store
    .prepare<{ trace_id: string }>(
      `SELECT trace_id FROM traces ${where} ORDER BY ended_us DESC LIMIT -1 OFFSET ?`,
    )
    .all(keep);
  for (const { trace_id } of old) {
    store.prepare('DELETE FROM spans WHERE trace_id = ?').run(trace_id);
    store.prepare('DELETE FROM traces WHERE trace_id = ?').run(trace_id);
  }
}
