import { createHash } from 'node:crypto';
import { RuntimeError } from '@gantry/errors';
import {
  algorithmOf,
  type Descriptor,
  type Digest,
  digestOf,
  hexOf,
  mediaTypes,
  parseReference,
} from '@gantry/oci';
import { endOfArchive, entryHeader, paddingOf, plainEntry } from './tar-entry.ts';

/** A blob of an archive; its bytes are checked against digest and size as they go out. */
export interface ArchiveBlob {
  readonly digest: Digest;
  readonly size: number;
  read(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** An image as an archive will hold it. */
export interface ArchiveImage {
  /** In full; none is possible. */
  readonly names: readonly string[];
  readonly config: ArchiveBlob;
  /** Lowest first. */
  readonly layers: readonly ArchiveBlob[];
  /** The manifest, and indexes that lead to it. */
  readonly documents: readonly ArchiveBlob[];
  /** The uppermost of the documents. */
  readonly target: Pick<Descriptor, 'mediaType' | 'digest' | 'size'>;
}

/** A member of the archive. */
interface ArchiveFile {
  readonly path: string;
  readonly blob: ArchiveBlob;
}

/** A document that is held in memory. */
export function blobOf(bytes: Buffer): ArchiveBlob {
  return {
    digest: digestOf('sha256', createHash('sha256').update(bytes).digest('hex')),
    size: bytes.length,
    read: async function* () {
      yield bytes;
    },
  };
}

/** A tar of an OCI layout (image-layout.md); its manifest.json lets `docker load` of any age read it. */
export function ociFiles(images: readonly ArchiveImage[]): ArchiveFile[] {
  const pathOf = (digest: Digest): string => `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;
  const blobs = images.flatMap((image) => [image.config, ...image.documents, ...image.layers]);
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: images.flatMap(({ target, names }) =>
      names.length === 0
        ? [target]
        : names.map((name) => ({ ...target, annotations: annotationsOf(name) })),
    ),
  };
  return [
    json('oci-layout', { imageLayoutVersion: '1.0.0' }),
    json('index.json', index),
    json('manifest.json', dockerManifest(images, pathOf, pathOf)),
    ...once(blobs.map((blob) => ({ path: pathOf(blob.digest), blob }))),
  ];
}

/** As `docker save` wrote archives before it knew of OCI layouts. */
export function dockerFiles(images: readonly ArchiveImage[]): ArchiveFile[] {
  const configPath = (digest: Digest): string => `${hexOf(digest)}.json`;
  const layerPath = (digest: Digest): string => `${hexOf(digest)}.tar`;
  return [
    json('manifest.json', dockerManifest(images, configPath, layerPath)),
    ...once(
      images.flatMap(({ config, layers }) => [
        { path: configPath(config.digest), blob: config },
        ...layers.map((blob) => ({ path: layerPath(blob.digest), blob })),
      ]),
    ),
  ];
}

/**
 * The archive's bytes. Fails with `internal` when a blob is not what its name
 * says: the disk has changed it since it was checked.
 */
export async function* tarOfFiles(
  files: readonly ArchiveFile[],
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const directories = files.flatMap(({ path }) => parentsOf(path));
  for (const directory of new Set(directories)) {
    yield entryHeader(plainEntry(directory, 0, 'directory'));
  }
  for (const { path, blob } of files) {
    yield entryHeader(plainEntry(path, blob.size));
    yield* checked(blob, signal);
    yield paddingOf(blob.size);
  }
  yield endOfArchive;
}

async function* checked(blob: ArchiveBlob, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const { digest } = blob;
  const hash = createHash(algorithmOf(digest));
  let size = 0;
  for await (const chunk of blob.read(signal)) {
    hash.update(chunk);
    size += chunk.length;
    if (size > blob.size) {
      break;
    }
    yield chunk;
  }
  signal.throwIfAborted();
  if (size !== blob.size || hash.digest('hex') !== hexOf(digest)) {
    throw new RuntimeError(
      'internal',
      `blob ${digest}: damaged on this node's disk: remove the image and pull it again`,
    );
  }
}

function dockerManifest(
  images: readonly ArchiveImage[],
  configPath: (digest: Digest) => string,
  layerPath: (digest: Digest) => string,
): object[] {
  return images.map(({ config, names, layers }) => ({
    Config: configPath(config.digest),
    RepoTags: names,
    Layers: layers.map(({ digest }) => layerPath(digest)),
  }));
}

/** containerd's word for the full name, and OCI's for the tag (annotations.md). */
function annotationsOf(name: string): Record<string, string> {
  return {
    'io.containerd.image.name': name,
    'org.opencontainers.image.ref.name': parseReference(name).tag ?? 'latest',
  };
}

function json(path: string, value: object): ArchiveFile {
  return { path, blob: blobOf(Buffer.from(JSON.stringify(value))) };
}

/** What several images share goes in once. */
function once(files: readonly ArchiveFile[]): ArchiveFile[] {
  return [...new Map(files.map((file) => [file.path, file])).values()];
}

function parentsOf(path: string): string[] {
  const parts = path.split('/').slice(0, -1);
  return parts.map((_, index) => `${parts.slice(0, index + 1).join('/')}/`);
}
