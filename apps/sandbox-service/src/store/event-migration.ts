/** How many events are kept for instances that have not read them yet. */
const kept = 4096;
/** How many bytes of records may stand beside them: pods may have large annotations, and many containers. */
export const keptBytes = 64 << 20;

// The values of ContainerEventType.
const [created, started, stopped, deleted] = [0, 1, 2, 3];

/*
 * Events are written by triggers: they stand in the transaction of the change
 * that they tell of, and no code path can leave one out. Beside each stand the
 * records of the pod as they were then, because the next change may come before
 * anyone has read it.
 */

const tables = `
  CREATE TABLE events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    type       INTEGER NOT NULL,
    object_id  TEXT NOT NULL,
    sandbox_id TEXT NOT NULL,
    at_ms      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER))
  ) STRICT;

  CREATE TABLE event_sandboxes (
    event  INTEGER PRIMARY KEY REFERENCES events (seq) ON DELETE CASCADE,
    id     TEXT NOT NULL,
    phase  TEXT NOT NULL,
    config BLOB NOT NULL,
    facts  TEXT NOT NULL
  ) STRICT;

  CREATE TABLE event_containers (
    event      INTEGER NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
    id         TEXT NOT NULL,
    sandbox_id TEXT NOT NULL,
    phase      TEXT NOT NULL,
    config     BLOB NOT NULL,
    facts      TEXT NOT NULL,
    PRIMARY KEY (event, id)
  ) STRICT, WITHOUT ROWID;

  CREATE TRIGGER snapshot_of_event AFTER INSERT ON events BEGIN
    INSERT INTO event_sandboxes
      SELECT NEW.seq, id, phase, config, facts FROM sandboxes WHERE id = NEW.sandbox_id;
    INSERT INTO event_containers
      SELECT NEW.seq, id, sandbox_id, phase, config, facts FROM containers
      WHERE sandbox_id = NEW.sandbox_id AND phase <> 'creating';
    DELETE FROM events WHERE seq <= NEW.seq - ${kept};
  END;
`;

const insert = 'INSERT INTO events (type, object_id, sandbox_id)';

const triggers = `
  CREATE TRIGGER container_event AFTER UPDATE OF phase ON containers
  WHEN OLD.phase <> NEW.phase BEGIN
    ${insert} SELECT
      CASE NEW.phase WHEN 'created' THEN ${created} WHEN 'running' THEN ${started} ELSE ${stopped} END,
      NEW.id, NEW.sandbox_id;
  END;

  CREATE TRIGGER container_deleted_event AFTER DELETE ON containers
  WHEN OLD.phase <> 'creating' BEGIN
    ${insert} VALUES (${deleted}, OLD.id, OLD.sandbox_id);
  END;

  CREATE TRIGGER sandbox_ready_event AFTER UPDATE OF phase ON sandboxes
  WHEN OLD.phase <> 'ready' AND NEW.phase = 'ready' BEGIN
    ${insert} VALUES (${created}, NEW.id, NEW.id);
    ${insert} VALUES (${started}, NEW.id, NEW.id);
  END;

  CREATE TRIGGER sandbox_stopped_event AFTER UPDATE OF phase ON sandboxes
  WHEN OLD.phase IN ('creating', 'ready') AND NEW.phase IN ('notready', 'stopped') BEGIN
    ${insert} VALUES (${stopped}, NEW.id, NEW.id);
  END;

  CREATE TRIGGER sandbox_deleted_event AFTER DELETE ON sandboxes
  WHEN OLD.phase <> 'creating' BEGIN
    ${insert} VALUES (${deleted}, OLD.id, OLD.id);
  END;
`;

/** The state changes of pods and containers, each with a number, for GetContainerEvents. */
export const eventMigration = tables + triggers;

/** When instances began to look for what had happened without them, and what was the last event before. */
export const eventStartMigration = `
  CREATE TABLE event_starts (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms     INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
    -- The newest event when the instance started.
    seq       INTEGER NOT NULL,
    -- The newest when it had found out everything; NULL while it has not.
    found_seq INTEGER
  ) STRICT;
`;

/**
 * The event of a pod's removal has the pod's last record. Before, it had none, and a kubelet with
 * Evented PLEG, which looks for the pod there, forgot a removed pod only at its next relist.
 */
export const removedPodMigration = `
  DROP TRIGGER sandbox_deleted_event;
  CREATE TRIGGER sandbox_deleted_event BEFORE DELETE ON sandboxes
  WHEN OLD.phase <> 'creating' BEGIN
    ${insert} VALUES (${deleted}, OLD.id, OLD.id);
  END;
`;

const bytesBeside = (table: string): string =>
  `(SELECT coalesce(sum(length(config) + length(facts)), 0) FROM ${table} WHERE event = NEW.seq)`;

/** Bounds what is kept by its bytes, too: `bytes_until` is the sum of all events up to this one. */
export const boundedEventsMigration = `
  ALTER TABLE events ADD COLUMN bytes_until INTEGER NOT NULL DEFAULT 0;
  DROP TRIGGER snapshot_of_event;
  CREATE TRIGGER snapshot_of_event AFTER INSERT ON events BEGIN
    INSERT INTO event_sandboxes
      SELECT NEW.seq, id, phase, config, facts FROM sandboxes WHERE id = NEW.sandbox_id;
    INSERT INTO event_containers
      SELECT NEW.seq, id, sandbox_id, phase, config, facts FROM containers
      WHERE sandbox_id = NEW.sandbox_id AND phase <> 'creating';
    UPDATE events SET bytes_until =
      coalesce((SELECT bytes_until FROM events WHERE seq = NEW.seq - 1), 0)
        + ${bytesBeside('event_sandboxes')} + ${bytesBeside('event_containers')}
      WHERE seq = NEW.seq;
    DELETE FROM events WHERE seq <= NEW.seq - ${kept};
    -- Oldest first; the newest itself always stays.
    DELETE FROM events WHERE seq < (
      SELECT seq FROM events
      WHERE bytes_until >= (SELECT bytes_until FROM events WHERE seq = NEW.seq) - ${keptBytes}
      ORDER BY seq LIMIT 1);
  END;
`;
