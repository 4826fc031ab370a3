import {
  boundedEventsMigration,
  eventMigration,
  eventStartMigration,
  removedPodMigration,
} from './event-migration.ts';

/**
 * The records of this service. Facts that no query looks at are JSON, so that
 * a new one needs no migration; configs are the bytes of the CRI message.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE sandboxes (
    id     TEXT PRIMARY KEY,
    phase  TEXT NOT NULL,
    config BLOB NOT NULL,
    facts  TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE containers (
    id         TEXT PRIMARY KEY,
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id),
    phase      TEXT NOT NULL,
    config     BLOB NOT NULL,
    facts      TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX containers_of_sandbox ON containers (sandbox_id);

  CREATE TABLE names (
    name  TEXT PRIMARY KEY,
    owner TEXT NOT NULL UNIQUE
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE operations (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL,
    object_id  TEXT NOT NULL,
    sandbox_id TEXT NOT NULL,
    instance   TEXT NOT NULL,
    begun_at   TEXT NOT NULL,
    ended_at   TEXT,
    outcome    TEXT,
    error      TEXT,
    trail      TEXT NOT NULL DEFAULT '[]'
  ) STRICT;
  CREATE INDEX operations_of_object ON operations (object_id);
  CREATE INDEX operations_open ON operations (sandbox_id) WHERE outcome IS NULL;

  CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  eventMigration,
  eventStartMigration,
  removedPodMigration,
  boundedEventsMigration,
];
