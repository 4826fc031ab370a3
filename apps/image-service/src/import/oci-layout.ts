import { createHash } from 'node:crypto';
import { RuntimeError } from '@gantry/errors';
import {
  algorithmOf,
  checkOciLayout,
  choosePlatform,
  type Descriptor,
  type Digest,
  hexOf,
  hostPlatforms,
  parseImageDocument,
} from '@gantry/oci';
import { describeImage, type InstallableImage } from '../images/install-image.ts';
import type { ImageSource, ResolvedManifest } from '../ports.ts';
import type { Archive } from './archive.ts';

/** An image of an archive, with the names that the archive gives it. */
export interface FoundImage {
  readonly image: InstallableImage;
  /** As they stand: in full, or only a tag. */
  readonly names: readonly string[];
  /** What `repository@digest` holds; absent where the archive has no manifest of the image. */
  readonly targetDigest?: Digest;
}

const maxIndexDepth = 3;

/** Reads every image that an OCI layout (image-layout.md) has for this host's platform. */
export async function readOciLayout(archive: Archive, signal: AbortSignal): Promise<FoundImage[]> {
  checkOciLayout(await mustRead(archive, 'oci-layout'), 'oci-layout');
  const root = parseImageDocument(await mustRead(archive, 'index.json'), 'index.json');
  if (root.kind !== 'index') {
    throw new RuntimeError('invalid-argument', 'index.json: not an index');
  }
  const found: FoundImage[] = [];
  for (const entry of root.index.manifests) {
    // One entry a platform is usual, too: those of others are passed over.
    if (choosePlatform([entry], hostPlatforms()) === undefined) {
      continue;
    }
    const source = new LayoutSource(archive, entry);
    const resolved = await source.resolve();
    const { manifest, documents, targetDigest } = resolved;
    const image = await describeImage(source, manifest, documents, signal);
    found.push({ image, names: namesOf(entry), targetDigest });
  }
  if (found.length === 0) {
    throw new RuntimeError('not-found', 'index.json: no image for the platform of this host');
  }
  return found;
}

function namesOf({ annotations }: Descriptor): string[] {
  const name =
    annotations?.['io.containerd.image.name'] ?? annotations?.['org.opencontainers.image.ref.name'];
  return name === undefined ? [] : [name];
}

class LayoutSource implements ImageSource {
  readonly description = 'OCI layout';
  readonly canResume = false;
  readonly #archive: Archive;
  readonly #entry: Descriptor;

  constructor(archive: Archive, entry: Descriptor) {
    this.#archive = archive;
    this.#entry = entry;
  }

  async resolve(): Promise<ResolvedManifest> {
    const documents: { digest: Digest; bytes: Buffer }[] = [];
    let next = this.#entry;
    for (let depth = 0; depth <= maxIndexDepth; depth++) {
      const bytes = await this.readBlob(next);
      const what = `manifest ${next.digest}`;
      checkDigest(next, bytes, what);
      documents.push({ digest: next.digest, bytes });
      const parsed = parseImageDocument(bytes, what, next.mediaType);
      if (parsed.kind === 'manifest') {
        return { manifest: parsed.manifest, documents, targetDigest: this.#entry.digest };
      }
      const chosen = choosePlatform(parsed.index.manifests, hostPlatforms());
      if (chosen === undefined) {
        throw new RuntimeError('not-found', `${what}: no image for the platform of this host`);
      }
      next = chosen;
    }
    throw new RuntimeError('invalid-argument', 'indexes nested too deeply');
  }

  readBlob(blob: Descriptor): Promise<Buffer> {
    return mustRead(this.#archive, pathOf(blob));
  }

  openBlob(blob: Descriptor): AsyncIterable<Uint8Array> {
    return this.#archive.open(pathOf(blob));
  }
}

function pathOf({ digest }: Descriptor): string {
  return `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;
}

function checkDigest({ digest, size }: Descriptor, bytes: Buffer, what: string): void {
  const actual = createHash(algorithmOf(digest)).update(bytes).digest('hex');
  if (actual !== hexOf(digest) || bytes.length !== size) {
    throw new RuntimeError('invalid-argument', `${what}: its content has another digest or size`);
  }
}

async function mustRead(archive: Archive, path: string): Promise<Buffer> {
  const bytes = await archive.read(path);
  if (bytes === undefined) {
    throw new RuntimeError('invalid-argument', `${path}: not in the archive`);
  }
  return bytes;
}
