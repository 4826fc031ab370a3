// biome-ignore lint/correctness/noUnresolvedImports: Biome's list of Node's modules lacks this one
import type { DatabaseSync } from 'node:sqlite';
import { RuntimeError } from '@gantry/errors';

/**
 * Applies the migrations that the file lacks, all or none, under the write
 * lock; two processes that start at once apply each of them once.
 */
export function migrate(db: DatabaseSync, path: string, migrations: readonly string[]): void {
  if (versionOf(db, path, migrations) === migrations.length) {
    return;
  }
  db.exec('BEGIN EXCLUSIVE');
  try {
    // Read again: whoever held the lock before may have migrated.
    for (let v = versionOf(db, path, migrations); v < migrations.length; v += 1) {
      applyMigration(db, path, migrations, v);
    }
    db.exec(`PRAGMA user_version=${String(migrations.length)}`);
    db.exec('COMMIT');
  } catch (error) {
    if (db.isTransaction) {
      db.exec('ROLLBACK');
    }
    throw error;
  }
}

function applyMigration(
  db: DatabaseSync,
  path: string,
  migrations: readonly string[],
  index: number,
): void {
  try {
    db.exec(migrations[index] ?? '');
  } catch (error) {
    const message = `open store ${path}: migration ${String(index + 1)}`;
    throw new RuntimeError('internal', message, { cause: error });
  }
}

function versionOf(db: DatabaseSync, path: string, migrations: readonly string[]): number {
  const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version > migrations.length) {
    throw new RuntimeError(
      'failed-precondition',
      `open store ${path}: it was written by a newer Gantry (schema ${String(version)}, this one knows ${String(migrations.length)}): upgrade Gantry, or move the file away`,
    );
  }
  return version;
}
