import { isKind, RuntimeError } from '@gantry/errors';
import {
  type Digest,
  formatReference,
  isDigest,
  parseReference,
  type Reference,
} from '@gantry/oci';
import type { Store } from '@gantry/store';
import type { Clock } from '../ports.ts';

/** An image as the CRI knows it, without what its config says. */
export interface ImageRecord {
  /** Digest of its config. */
  readonly id: Digest;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  /** `user:group` of its config; empty means root. */
  readonly user: string;
  /** Of config, manifests and unpacked layers. */
  readonly bytes: number;
}

export interface NewImage {
  readonly id: Digest;
  readonly user: string;
  /** Lowest first. */
  readonly diffIds: readonly Digest[];
  readonly blobs: readonly { readonly digest: Digest; readonly size: number }[];
  /** `host/repository:tag`, in full. */
  readonly tags: readonly string[];
  /** `host/repository@digest`. */
  readonly digests: readonly string[];
}

interface NameRow {
  readonly name: string;
  readonly kind: 'tag' | 'digest';
}

/** The layers of image `i` as one string, lowest first. */
const chainOf = `coalesce((SELECT group_concat(l.diff_id, ' ' ORDER BY l.position)
  FROM image_layers l WHERE l.image_id = i.id), '')`;
const idPrefix = /^(sha256:)?([0-9a-f]{1,64})$/;

/** Images, their names and what they are made of. */
export class ImageRecords {
  readonly #store: Store;
  readonly #clock: Clock;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * Makes an image visible under its names, all at once; names that stood for
   * another image move. Its layers must be on disk for sure, and are trusted
   * after a reboot from now on. Gives back those that are not (any longer)
   * recorded: nothing has been changed then.
   */
  add(image: NewImage): Digest[] {
    return this.#store.transaction(() => {
      const layers = JSON.stringify(image.diffIds);
      const missing = this.#store
        .prepare<{ value: Digest }>(
          'SELECT value FROM json_each(?) WHERE value NOT IN (SELECT diff_id FROM layers)',
        )
        .all(layers);
      if (missing.length > 0) {
        return missing.map(({ value }) => value);
      }
      this.#store
        .prepare(
          `UPDATE layers SET synced = 1
           WHERE synced = 0 AND diff_id IN (SELECT value FROM json_each(?))`,
        )
        .run(layers);
      this.#store
        .prepare('INSERT INTO images VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
        .run(image.id, image.user, this.#clock());
      for (const [position, diffId] of image.diffIds.entries()) {
        this.#store
          .prepare('INSERT INTO image_layers VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
          .run(image.id, position, diffId);
      }
      for (const { digest, size } of image.blobs) {
        this.#store
          .prepare('INSERT INTO image_blobs VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
          .run(image.id, digest, size);
      }
      const name = this.#store.prepare(
        `INSERT INTO names VALUES (?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET image_id = excluded.image_id`,
      );
      for (const tag of image.tags) {
        name.run(tag, 'tag', image.id);
      }
      for (const digest of image.digests) {
        name.run(digest, 'digest', image.id);
      }
      return [];
    });
  }

  /** Reports whether `add` would change nothing. */
  holds({ id, diffIds, blobs, tags, digests }: NewImage): boolean {
    const names = JSON.stringify([...tags, ...digests]);
    const row = this.#store
      .prepare<{ names: number; layers: string }>(
        `SELECT ${chainOf} AS layers, (SELECT count(*) FROM names
           WHERE image_id = i.id AND name IN (SELECT value FROM json_each(?2))) AS names
         FROM images i WHERE i.id = ?1`,
      )
      .get(id, names);
    const known = new Set(row === undefined ? [] : this.blobsOf(id));
    return (
      row?.layers === diffIds.join(' ') &&
      row.names === new Set([...tags, ...digests]).size &&
      blobs.every(({ digest }) => known.has(digest))
    );
  }

  list(): ImageRecord[] {
    const rows = this.#store.prepare<{ id: Digest }>('SELECT id FROM images ORDER BY rowid').all();
    return rows.flatMap(({ id }) => this.get(id) ?? []);
  }

  get(id: Digest): ImageRecord | undefined {
    const row = this.#store
      .prepare<{ user: string }>('SELECT user FROM images WHERE id = ?')
      .get(id);
    return row === undefined ? undefined : this.#record(id, row.user);
  }

  /**
   * Finds an image by tag, digest, id or a unique prefix of its id, with or
   * without `sha256:`. undefined when there is none, or the name is malformed.
   * Throws `invalid-argument` for an empty name and an ambiguous prefix.
   */
  find(text: string): ImageRecord | undefined {
    if (text === '') {
      throw new RuntimeError('invalid-argument', 'image: no name given');
    }
    // A name goes before an id that could be read as one, as in containerd.
    const isId = /^(sha256:|[0-9a-f]{64}$)/.test(text);
    const named = isId ? undefined : this.#findByName(text);
    return named ?? this.#findByPrefix(text);
  }

  #findByName(text: string): ImageRecord | undefined {
    const reference = parseOrNothing(text);
    if (reference === undefined) {
      return undefined;
    }
    const { tag, digest, ...repository } = reference;
    // With both, the digest decides: a tag may have moved.
    const name =
      digest === undefined
        ? formatReference({ ...repository, ...(tag === undefined ? {} : { tag }) })
        : formatReference({ ...repository, digest });
    const row = this.#store
      .prepare<{ image_id: Digest }>('SELECT image_id FROM names WHERE name = ?')
      .get(name);
    return row === undefined ? undefined : this.get(row.image_id);
  }

  /** Bytes of an image's layers and blobs that no other image shares. */
  ownBytes(id: Digest): number {
    const row = this.#store
      .prepare<{ bytes: number }>(
        `SELECT coalesce((SELECT sum(size) FROM image_blobs b WHERE image_id = ?1 AND NOT EXISTS
             (SELECT 1 FROM image_blobs o WHERE o.digest = b.digest AND o.image_id <> ?1)), 0)
           + coalesce((SELECT sum(bytes) FROM layers WHERE diff_id IN
               (SELECT diff_id FROM image_layers WHERE image_id = ?1) AND NOT EXISTS
               (SELECT 1 FROM image_layers o WHERE o.diff_id = layers.diff_id
                  AND o.image_id <> ?1)), 0) AS bytes`,
      )
      .get(id);
    return row?.bytes ?? 0;
  }

  layersOf(id: Digest): Digest[] {
    return this.#store
      .prepare<{ diff_id: Digest }>(
        'SELECT diff_id FROM image_layers WHERE image_id = ? ORDER BY position',
      )
      .all(id)
      .map((row) => row.diff_id);
  }

  /** Reports whether any image consists of exactly this chain of layers, lowest first. */
  standOn(diffIds: readonly Digest[]): boolean {
    const sql = `SELECT 1 FROM images i WHERE (?1 IS NULL OR EXISTS
        (SELECT 1 FROM image_layers b
         WHERE b.image_id = i.id AND b.position = 0 AND b.diff_id = ?1))
      AND ${chainOf} = ?2 LIMIT 1`;
    return this.#store.prepare(sql).get(diffIds[0] ?? null, diffIds.join(' ')) !== undefined;
  }

  /** The chains that images consist of. */
  chains(): Digest[][] {
    return this.#store
      .prepare<{ chain: string }>(`SELECT DISTINCT ${chainOf} AS chain FROM images i`)
      .all()
      .map(({ chain }) => chain.split(' ').filter((text) => isDigest(text)));
  }

  /** Removes an image with all its names. */
  remove(id: Digest): void {
    this.#store.prepare('DELETE FROM images WHERE id = ?').run(id);
  }

  /** The same, with what else is to change at this very moment. */
  removeWith<T>(id: Digest, more: () => T): T {
    return this.#store.transaction(() => {
      this.remove(id);
      return more();
    });
  }

  blobsOf(id: Digest): Digest[] {
    return this.#store
      .prepare<{ digest: Digest }>('SELECT digest FROM image_blobs WHERE image_id = ?')
      .all(id)
      .map((row) => row.digest);
  }

  /** Every blob of every image, with its length in bytes. */
  blobSizes(): { id: Digest; digest: Digest; size: number }[] {
    return this.#store
      .prepare<{ id: Digest; digest: Digest; size: number }>(
        'SELECT image_id AS id, digest, size FROM image_blobs ORDER BY image_id',
      )
      .all();
  }

  /** A blob is lost that images can be run without. */
  forgetBlob(digest: Digest): void {
    this.#store.prepare('DELETE FROM image_blobs WHERE digest = ?').run(digest);
  }

  /** Every blob that some image needs. */
  blobs(): ReadonlySet<Digest> {
    const rows = this.#store
      .prepare<{ digest: Digest }>('SELECT DISTINCT digest FROM image_blobs')
      .all();
    return new Set(rows.map((row) => row.digest));
  }

  #findByPrefix(text: string): ImageRecord | undefined {
    const hex = idPrefix.exec(text)?.[2];
    if (hex === undefined) {
      return undefined;
    }
    // Hex digits are no wildcards of LIKE.
    const rows = this.#store
      .prepare<{ id: Digest }>('SELECT id FROM images WHERE id LIKE ? LIMIT 2')
      .all(`sha256:${hex}%`);
    if (rows.length > 1) {
      throw new RuntimeError('invalid-argument', `image id ${text}: more than one begins so`);
    }
    return rows[0] === undefined ? undefined : this.get(rows[0].id);
  }

  #record(id: Digest, user: string): ImageRecord {
    const names = this.#store
      .prepare<NameRow>('SELECT name, kind FROM names WHERE image_id = ? ORDER BY rowid')
      .all(id);
    const size = this.#store
      .prepare<{ bytes: number }>(
        `SELECT coalesce((SELECT sum(size) FROM image_blobs WHERE image_id = ?1), 0)
           + coalesce((SELECT sum(bytes) FROM layers WHERE diff_id IN
               (SELECT diff_id FROM image_layers WHERE image_id = ?1)), 0) AS bytes`,
      )
      .get(id);
    return {
      id,
      repoTags: names.filter(({ kind }) => kind === 'tag').map(({ name }) => name),
      repoDigests: names.filter(({ kind }) => kind === 'digest').map(({ name }) => name),
      user,
      bytes: size?.bytes ?? 0,
    };
  }
}

function parseOrNothing(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch (error) {
    if (isKind(error, 'invalid-argument')) {
      return undefined;
    }
    throw error;
  }
}
