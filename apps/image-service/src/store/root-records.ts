import { RuntimeError } from '@gantry/errors';
import { type Digest, isDigest } from '@gantry/oci';
import type { Store } from '@gantry/store';
import type { Clock } from '../ports.ts';
import type { ImageRecord } from './image-records.ts';

/** A container's hold on an image, with what was told of the image when it was taken. */
export interface RootRecord {
  readonly ownerId: string;
  readonly image: Pick<ImageRecord, 'id' | 'repoTags' | 'repoDigests'>;
  readonly config: Uint8Array;
  /** Lowest first. */
  readonly diffIds: readonly Digest[];
}

interface Row {
  readonly owner_id: string;
  readonly image_id: Digest;
  readonly repo_tags: string;
  readonly repo_digests: string;
  readonly config: Uint8Array;
}

/** The layers of root `r` as one string, lowest first. */
const chainOf = `coalesce((SELECT group_concat(l.diff_id, ' ' ORDER BY l.position)
  FROM root_layers l WHERE l.owner_id = r.owner_id), '')`;

/** Who holds a root file system. */
export class RootRecords {
  readonly #store: Store;
  readonly #clock: Clock;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Records a root; the one that stands is given back when the owner has one. Throws when a layer has just been removed. */
  add(root: RootRecord): RootRecord {
    return this.#store.transaction(() => {
      const existing = this.get(root.ownerId);
      if (existing !== undefined) {
        return existing;
      }
      const { id, repoTags, repoDigests } = root.image;
      const present = this.#store.prepare('SELECT 1 FROM layers WHERE diff_id = ?');
      if (!root.diffIds.every((diffId) => present.get(diffId) !== undefined)) {
        throw new RuntimeError('not-found', `image ${id}: it has just been removed`);
      }
      this.#store
        .prepare('INSERT INTO roots VALUES (?, ?, ?, ?, ?, ?)')
        .run(
          root.ownerId,
          id,
          JSON.stringify(repoTags),
          JSON.stringify(repoDigests),
          root.config,
          this.#clock(),
        );
      for (const [position, diffId] of root.diffIds.entries()) {
        this.#store
          .prepare('INSERT INTO root_layers VALUES (?, ?, ?)')
          .run(root.ownerId, position, diffId);
      }
      return this.get(root.ownerId) ?? root;
    });
  }

  get(ownerId: string): RootRecord | undefined {
    const row = this.#store.prepare<Row>('SELECT * FROM roots WHERE owner_id = ?').get(ownerId);
    return row === undefined ? undefined : this.#record(row);
  }

  owners(): string[] {
    return this.#store
      .prepare<Row>('SELECT * FROM roots ORDER BY created_at')
      .all()
      .map((row) => row.owner_id);
  }

  /** Reports whether any root stands on exactly this chain of layers, lowest first. */
  standOn(diffIds: readonly Digest[]): boolean {
    const sql = `SELECT 1 FROM roots r WHERE (?1 IS NULL OR EXISTS
        (SELECT 1 FROM root_layers b
         WHERE b.owner_id = r.owner_id AND b.position = 0 AND b.diff_id = ?1))
      AND ${chainOf} = ?2 LIMIT 1`;
    return this.#store.prepare(sql).get(diffIds[0] ?? null, diffIds.join(' ')) !== undefined;
  }

  /** The chains that roots stand on. */
  chains(): Digest[][] {
    return this.#store
      .prepare<{ chain: string }>(`SELECT DISTINCT ${chainOf} AS chain FROM roots r`)
      .all()
      .map(({ chain }) => chain.split(' ').filter((text) => isDigest(text)));
  }

  /** Who holds a root of this image. */
  ownersOf(imageId: Digest): string[] {
    return this.#store
      .prepare<Row>('SELECT * FROM roots WHERE image_id = ? ORDER BY created_at')
      .all(imageId)
      .map((row) => row.owner_id);
  }

  remove(ownerId: string): void {
    this.#store.prepare('DELETE FROM roots WHERE owner_id = ?').run(ownerId);
  }

  #record(row: Row): RootRecord {
    const layers = this.#store
      .prepare<{ diff_id: Digest }>(
        'SELECT diff_id FROM root_layers WHERE owner_id = ? ORDER BY position',
      )
      .all(row.owner_id);
    return {
      ownerId: row.owner_id,
      image: {
        id: row.image_id,
        repoTags: JSON.parse(row.repo_tags) as string[],
        repoDigests: JSON.parse(row.repo_digests) as string[],
      },
      config: row.config,
      diffIds: layers.map((layer) => layer.diff_id),
    };
  }
}
