import { createHash } from 'node:crypto';
import { RuntimeError } from '@gantry/errors';
import {
  type Descriptor,
  type Digest,
  digestOf,
  type ImageManifest,
  mediaTypes,
  parseImageDocument,
} from '@gantry/oci';
import type { ImageStore } from '../images/image-store.ts';
import type { LayerTar } from '../ports.ts';
import type { ImageRecord } from '../store/image-records.ts';
import { type ArchiveBlob, type ArchiveImage, blobOf } from './archive-files.ts';

type Store = Pick<ImageStore, 'content' | 'images' | 'layerStore'>;

/** A document of the image, as it lies in the content store. */
interface Document {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly parsed: ReturnType<typeof parseImageDocument>;
}

export interface DescribedImage extends ArchiveImage {
  /** Manifest and layers are, byte for byte, those that the image came with. */
  readonly isExact: boolean;
  readonly manifestDigest: Digest;
}

const maxIndexDepth = 4;

/**
 * What an archive of the image will hold: its own manifest and compressed
 * layers where they are kept, or else one made for the layers as they lie here.
 * Throws `not-found` when it is removed meanwhile.
 */
export async function describeForExport(
  store: Store,
  image: ImageRecord,
  names: readonly string[],
  signal: AbortSignal,
): Promise<DescribedImage> {
  const config = await store.content.read(image.id);
  if (config === undefined) {
    throw new RuntimeError('internal', 'its config is gone or damaged');
  }
  const diffIds = store.images.layersOf(image.id);
  const documents = await readDocuments(store, image.id);
  for (const document of documents) {
    const layers = await originalLayers(store, document, image.id, diffIds);
    if (layers !== undefined) {
      const chain = chainOf(document, documents);
      const top = chain.at(-1) ?? document;
      return {
        names,
        config: blobOf(config),
        layers,
        documents: chain.map(({ bytes }) => blobOf(bytes)),
        target: descriptorOf(top.bytes, mediaTypeOf(top)),
        isExact: true,
        manifestDigest: document.digest,
      };
    }
  }
  return { names, isExact: false, ...(await remade(store, config, diffIds, signal)) };
}

async function readDocuments({ content, images }: Store, id: Digest): Promise<Document[]> {
  const found: Document[] = [];
  for (const digest of images.blobsOf(id)) {
    // Layers that are kept as they came are no documents.
    const isLarge = ((await content.sizeOf(digest)) ?? 0) > 8 << 20;
    const bytes = digest === id || isLarge ? undefined : await content.read(digest);
    if (bytes !== undefined && bytes[0] === 0x7b) {
      found.push({ digest, bytes, parsed: parseImageDocument(bytes, `manifest ${digest}`) });
    }
  }
  return found;
}

/** The layers as the manifest has them; undefined unless all of them are here so. */
async function originalLayers(
  { content, layerStore }: Store,
  { parsed }: Document,
  id: Digest,
  diffIds: readonly Digest[],
): Promise<ArchiveBlob[] | undefined> {
  if (parsed.kind !== 'manifest' || parsed.manifest.config.digest !== id) {
    return undefined;
  }
  const layers: ArchiveBlob[] = [];
  for (const [index, { digest, size }] of parsed.manifest.layers.entries()) {
    if ((await content.sizeOf(digest)) === size) {
      layers.push({ digest, size, read: (signal) => content.open(digest, signal) });
      continue;
    }
    const tar = digest === diffIds[index] ? await layerStore.openTar(digest) : undefined;
    if (tar?.isOriginal !== true || tar.size !== size) {
      return undefined;
    }
    layers.push({ digest, size, read: (signal) => tar.read(signal) });
  }
  return layers;
}

/** The manifest and, where it was found through indexes, those: a digest that pods name stays good. */
function chainOf(manifest: Document, all: readonly Document[]): Document[] {
  const chain = [manifest];
  for (let depth = 0; depth < maxIndexDepth; depth++) {
    const below = chain.at(-1)?.digest;
    const above = all.find(
      ({ parsed }) =>
        parsed.kind === 'index' && parsed.index.manifests.some(({ digest }) => digest === below),
    );
    if (above === undefined || chain.includes(above)) {
      break;
    }
    chain.push(above);
  }
  return chain;
}

function mediaTypeOf({ parsed }: Document): string {
  return parsed.kind === 'index'
    ? (parsed.index.mediaType ?? mediaTypes.ociIndex)
    : (parsed.manifest.mediaType ?? mediaTypes.ociManifest);
}

async function remade(
  { layerStore }: Store,
  config: Buffer,
  diffIds: readonly Digest[],
  signal: AbortSignal,
): Promise<Omit<DescribedImage, 'names' | 'isExact'>> {
  const layers: ArchiveBlob[] = [];
  for (const diffId of diffIds) {
    const tar = await layerStore.openTar(diffId);
    if (tar === undefined) {
      throw new RuntimeError('not-found', `layer ${diffId}: removed meanwhile`);
    }
    layers.push(await tarBlob(diffId, tar, signal));
  }
  const bytes = withDiffIds(config, diffIds, layers);
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptorOf(bytes, mediaTypes.ociConfig),
    layers: layers.map(({ digest, size }) => ({ mediaType: mediaTypes.ociLayer, digest, size })),
  };
  const document = Buffer.from(JSON.stringify(manifest));
  const target = descriptorOf(document, mediaTypes.ociManifest);
  return {
    config: blobOf(bytes),
    layers,
    documents: [blobOf(document)],
    target,
    manifestDigest: target.digest,
  };
}

async function tarBlob(diffId: Digest, tar: LayerTar, signal: AbortSignal): Promise<ArchiveBlob> {
  const read = (own: AbortSignal): AsyncIterable<Uint8Array> => tar.read(own);
  if (tar.isOriginal && tar.size !== undefined) {
    return { digest: diffId, size: tar.size, read };
  }
  // Packed twice, so that a full disk needs no room for it: once for the digest, once for the archive.
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of tar.read(signal)) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { digest: digestOf('sha256', hash.digest('hex')), size, read };
}

/** The same bytes where the layers are what they were; else the config tells of the new ones. */
function withDiffIds(
  config: Buffer,
  diffIds: readonly Digest[],
  layers: readonly ArchiveBlob[],
): Buffer {
  if (diffIds.every((diffId, index) => layers[index]?.digest === diffId)) {
    return config;
  }
  const parsed = JSON.parse(config.toString()) as { rootfs: { diff_ids: readonly string[] } };
  parsed.rootfs.diff_ids = layers.map(({ digest }) => digest);
  return Buffer.from(JSON.stringify(parsed));
}

function descriptorOf(
  bytes: Buffer,
  mediaType: string,
): Pick<Descriptor, 'mediaType' | 'digest' | 'size'> {
  const { digest, size } = blobOf(bytes);
  return { mediaType, digest, size };
}
