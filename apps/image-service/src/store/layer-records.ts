import { readFileSync } from 'node:fs';
import type { Digest } from '@gantry/oci';
import type { Store } from '@gantry/store';
import type { Clock, DiskUsage } from '../ports.ts';

interface Row {
  readonly diff_id: Digest;
  readonly boot_id: string;
  readonly synced: number;
}

const unused = `NOT EXISTS (SELECT 1 FROM image_layers u WHERE u.diff_id = layers.diff_id)
  AND NOT EXISTS (SELECT 1 FROM root_layers u WHERE u.diff_id = layers.diff_id)`;

/** Which layers are here, and who needs them. */
export class LayerRecords {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #bootId: string;

  constructor(store: Store, clock: Clock, bootId: string = readBootId()) {
    this.#store = store;
    this.#clock = clock;
    this.#bootId = bootId;
  }

  /** A layer that has been written; not trusted after a reboot until an image has been recorded with it. */
  add(diffId: Digest, usage: DiskUsage): void {
    // Not worth a sync of its own: a record that a power cut takes is that of a layer to be fetched
    // again. The next commit, that of the image at the latest, takes it to disk as well.
    this.#store.prepare('PRAGMA synchronous = NORMAL').get();
    try {
      this.#insert(diffId, usage);
    } finally {
      this.#store.prepare('PRAGMA synchronous = FULL').get();
    }
  }

  #insert(diffId: Digest, usage: DiskUsage): void {
    this.#store
      .prepare(
        `INSERT INTO layers (diff_id, bytes, inodes, boot_id, created_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (diff_id) DO UPDATE SET bytes = excluded.bytes, inodes = excluded.inodes,
           boot_id = excluded.boot_id, synced = 0, created_at = excluded.created_at`,
      )
      .run(diffId, usage.bytes, usage.inodes, this.#bootId, this.#clock());
  }

  has(diffId: Digest): boolean {
    return this.#store.prepare('SELECT 1 FROM layers WHERE diff_id = ?').get(diffId) !== undefined;
  }

  hasAll(diffIds: readonly Digest[]): boolean {
    return this.#count(diffIds, '') === new Set(diffIds).size;
  }

  /** Reports whether all of them were on disk for sure when an image was recorded that has them. */
  areSynced(diffIds: readonly Digest[]): boolean {
    return this.#count(diffIds, 'AND synced = 1') === new Set(diffIds).size;
  }

  #count(diffIds: readonly Digest[], condition: string): number {
    const row = this.#store
      .prepare<{ count: number }>(
        `SELECT count(*) AS count FROM layers
         WHERE diff_id IN (SELECT value FROM json_each(?)) ${condition}`,
      )
      .get(JSON.stringify(diffIds));
    return row?.count ?? 0;
  }

  all(): Digest[] {
    return this.#store
      .prepare<Row>('SELECT * FROM layers')
      .all()
      .map((row) => row.diff_id);
  }

  /** Written in an earlier boot and never synced: they may be torn. */
  doubtful(): Digest[] {
    return this.#store
      .prepare<Row>('SELECT * FROM layers WHERE synced = 0 AND boot_id <> ?')
      .all(this.#bootId)
      .map((row) => row.diff_id);
  }

  /** Layers that no image and no root needs, and that were written before `before` (ms since the epoch). */
  unused(before: number): Digest[] {
    return this.#store
      .prepare<Row>(`SELECT * FROM layers WHERE created_at < ? AND ${unused}`)
      .all(before)
      .map((row) => row.diff_id);
  }

  /** Forgets those of the layers that nobody needs (any more), all at once: they may be removed from disk. */
  forgetUnused(diffIds: readonly Digest[]): Digest[] {
    return this.#store
      .prepare<Row>(
        `DELETE FROM layers WHERE diff_id IN (SELECT value FROM json_each(?)) AND ${unused}
         RETURNING *`,
      )
      .all(JSON.stringify(diffIds))
      .map((row) => row.diff_id);
  }

  /** Forgets a layer that is gone or torn, with the images that need it; their names go too. */
  forgetLost(diffId: Digest): void {
    this.#store.transaction(() => {
      this.#store
        .prepare(
          'DELETE FROM images WHERE id IN (SELECT image_id FROM image_layers WHERE diff_id = ?)',
        )
        .run(diffId);
      this.#store.prepare('DELETE FROM root_layers WHERE diff_id = ?').run(diffId);
      this.#store.prepare('DELETE FROM layers WHERE diff_id = ?').run(diffId);
    });
  }

  /** Bytes of the layers that no image names: of failed pulls, or of removed images that are still run. */
  unreferencedBytes(): number {
    const row = this.#store
      .prepare<{ bytes: number }>(
        `SELECT coalesce(sum(bytes), 0) AS bytes FROM layers WHERE NOT EXISTS
           (SELECT 1 FROM image_layers u WHERE u.diff_id = layers.diff_id)`,
      )
      .get();
    return row?.bytes ?? 0;
  }

  usage(): DiskUsage {
    const row = this.#store
      .prepare<DiskUsage>(
        'SELECT coalesce(sum(bytes), 0) AS bytes, coalesce(sum(inodes), 0) AS inodes FROM layers',
      )
      .get();
    return row ?? { bytes: 0, inodes: 0 };
  }
}

function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
