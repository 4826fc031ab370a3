import { statSync } from 'node:fs';
import { RuntimeError } from '@gantry/errors';
import { openStore, type Store } from '@gantry/store';
import { traceFile } from './trace-file.ts';
import { traceMigrations } from './trace-store.ts';

/** One span, with those that it caused. */
export interface SpanTree {
  readonly spanId: string;
  readonly name: string;
  readonly service: string;
  readonly instance: string;
  /** Milliseconds since 1970. */
  readonly startMs: number;
  readonly durationMs: number;
  readonly failed: boolean;
  readonly message: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** In order of their start. */
  readonly children: readonly SpanTree[];
}

/** What one request did in every process of the node. */
export interface TraceTree {
  readonly traceId: string;
  readonly startMs: number;
  /** From the first start to the last end. */
  readonly durationMs: number;
  readonly failed: boolean;
  /** More than one where the caller's own spans, or spans that got lost, would join them. */
  readonly roots: readonly SpanTree[];
}

export interface TraceQuery {
  /** The config's root_dir. */
  readonly rootDir: string;
  /** At most so many traces; 20 when left out. */
  readonly limit?: number;
  /** A trace id or its beginning, or part of a span name or of an attribute: a pod or container id or name. */
  readonly match?: string;
  /** The longest traces first; otherwise the newest. */
  readonly slowest?: boolean;
}

interface SpanRow {
  trace_id: string;
  span_id: string;
  parent_id: string | null;
  name: string;
  service: string;
  instance: string;
  start_us: number;
  duration_us: number;
  failed: number;
  message: string;
  attributes: string;
}

interface TraceRow {
  trace_id: string;
  failed: number;
  started_us: number;
  ended_us: number;
}

/**
 * Reads traces from the database of the node; no service need run. A node that
 * has recorded none gives an empty list. Throws `failed-precondition` for a
 * database that can't be read, `permission-denied` for one of root's.
 */
export function readTraces(query: TraceQuery): TraceTree[] {
  const file = traceFile(query.rootDir);
  if (!isThere(file)) {
    return [];
  }
  using store = openStore(file, { migrations: traceMigrations });
  return findTraces(store, query).map((row) => {
    const spans = store
      .prepare<SpanRow>('SELECT * FROM spans WHERE trace_id = ? ORDER BY start_us')
      .all(row.trace_id);
    return {
      traceId: row.trace_id,
      startMs: row.started_us / 1000,
      durationMs: (row.ended_us - row.started_us) / 1000,
      failed: row.failed !== 0,
      roots: toTrees(spans),
    };
  });
}

function isThere(file: string): boolean {
  try {
    return statSync(file, { throwIfNoEntry: false }) !== undefined;
  } catch {
    throw new RuntimeError(
      'permission-denied',
      `read ${file}: it must be root. Run it again with sudo`,
    );
  }
}

function findTraces(store: Store, { limit = 20, match, slowest }: TraceQuery): TraceRow[] {
  const order = slowest === true ? 'ended_us - started_us' : 'started_us';
  if (match === undefined || match === '') {
    return store
      .prepare<TraceRow>(`SELECT * FROM traces ORDER BY ${order} DESC LIMIT ?`)
      .all(limit);
  }
  const literal = match.replaceAll(/[\\%_]/g, String.raw`\$&`);
  return store
    .prepare<TraceRow>(
      String.raw`SELECT * FROM traces WHERE trace_id IN (
         SELECT trace_id FROM spans
         WHERE trace_id LIKE ? ESCAPE '\' OR name LIKE ? ESCAPE '\' OR attributes LIKE ? ESCAPE '\'
       ) ORDER BY ${order} DESC LIMIT ?`,
    )
    .all(`${literal}%`, `%${literal}%`, `%${literal}%`, limit);
}

function toTrees(rows: readonly SpanRow[]): SpanTree[] {
  const trees = new Map(
    rows.map((row) => [row.span_id, { ...toSpan(row), children: [] as SpanTree[] }]),
  );
  const roots: SpanTree[] = [];
  for (const row of rows) {
    const tree = trees.get(row.span_id);
    // A span that names itself or a lost one as its parent stands at the top.
    const parent =
      row.parent_id === null || row.parent_id === row.span_id
        ? undefined
        : trees.get(row.parent_id);
    if (tree !== undefined) {
      (parent?.children ?? roots).push(tree);
    }
  }
  return roots;
}

function toSpan(row: SpanRow): Omit<SpanTree, 'children'> {
  return {
    spanId: row.span_id,
    name: row.name,
    service: row.service,
    instance: row.instance,
    startMs: row.start_us / 1000,
    durationMs: row.duration_us / 1000,
    failed: row.failed !== 0,
    message: row.message,
    attributes: JSON.parse(row.attributes) as Record<string, unknown>,
  };
}
