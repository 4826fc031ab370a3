/** Scripts of images.db, oldest first; append only. */
export const migrations: readonly string[] = [
  `
CREATE TABLE layers (
  diff_id TEXT PRIMARY KEY,
  bytes INTEGER NOT NULL,
  inodes INTEGER NOT NULL,
  -- The boot in which it was written; not on disk for sure until synced.
  boot_id TEXT NOT NULL,
  synced INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE images (
  id TEXT PRIMARY KEY,
  -- As its config has it, so that lists need not read configs.
  user TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE image_layers (
  image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  diff_id TEXT NOT NULL REFERENCES layers (diff_id),
  PRIMARY KEY (image_id, position)
) STRICT;
CREATE INDEX image_layers_diff_id ON image_layers (diff_id);
-- The config and the manifests that lead to it.
CREATE TABLE image_blobs (
  image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  digest TEXT NOT NULL,
  size INTEGER NOT NULL,
  PRIMARY KEY (image_id, digest)
) STRICT;
CREATE INDEX image_blobs_digest ON image_blobs (digest);
CREATE TABLE names (
  name TEXT PRIMARY KEY,
  -- 'tag' or 'digest'
  kind TEXT NOT NULL,
  image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX names_image_id ON names (image_id);
-- A root outlives the names and the record of its image: it keeps what it was told.
CREATE TABLE roots (
  owner_id TEXT PRIMARY KEY,
  image_id TEXT NOT NULL,
  repo_tags TEXT NOT NULL,
  repo_digests TEXT NOT NULL,
  config BLOB NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE root_layers (
  owner_id TEXT NOT NULL REFERENCES roots (owner_id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  diff_id TEXT NOT NULL REFERENCES layers (diff_id),
  PRIMARY KEY (owner_id, position)
) STRICT;
CREATE INDEX root_layers_diff_id ON root_layers (diff_id);
`,
];
