import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { arch } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { RuntimeError } from '@gantry/errors';
import { type ImageFile, writeTar } from './layer-tar.ts';

/** The `config` object of an image, under the spec's own names (OCI image spec, config.md). */
export interface ImageConfig {
  readonly User?: string;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly WorkingDir?: string;
  readonly StopSignal?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Volumes?: Readonly<Record<string, object>>;
  readonly Labels?: Readonly<Record<string, string>>;
}

export interface ImageRequest {
  /** Directory of the OCI layout; made when missing, added to when it is one already. */
  readonly outDir: string;
  /** Such as `localhost/gantry/pause:1`; what the layout had under it is replaced. */
  readonly name: string;
  /** Bottom first; a layer is its files or the bytes of a tar, as they are. */
  readonly layers: readonly (readonly ImageFile[] | Uint8Array)[];
  readonly config?: ImageConfig;
  readonly compression?: 'gzip' | 'zstd' | 'none';
  /** In the spec's words (GOARCH); the host's unless told. */
  readonly architecture?: string;
}

export interface BuiltImage {
  readonly name: string;
  /** Digest of the config: the id that CRI shows. */
  readonly id: string;
  readonly manifestDigest: string;
  /** Of the layers as stored, bottom first. */
  readonly layerDigests: readonly string[];
  readonly layoutDir: string;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

const refName = 'org.opencontainers.image.ref.name';
const goArchitectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };
const layerSuffixes = { gzip: '+gzip', zstd: '+zstd', none: '' } as const;

/**
 * Writes an image into an OCI layout (OCI image spec, image-layout.md). The
 * same request gives the same bytes, so that ids and digests are stable.
 * The index is written last: a layout that was cut short shows no broken image.
 */
export async function buildImage(request: ImageRequest): Promise<BuiltImage> {
  const { outDir, name, compression = 'gzip' } = request;
  if (!/^[a-z0-9][\w./:@-]*$/i.test(name)) {
    throw new RuntimeError('invalid-argument', `build image: "${name}" is no image name`);
  }
  await mkdir(join(outDir, 'blobs/sha256'), { recursive: true });
  const diffIds: string[] = [];
  const layers: Descriptor[] = [];
  for (const layer of request.layers) {
    const tar = layer instanceof Uint8Array ? layer : writeTar(layer);
    diffIds.push(digestOf(tar));
    const type = `application/vnd.oci.image.layer.v1.tar${layerSuffixes[compression]}`;
    layers.push(await writeBlob(outDir, type, compress(tar, compression)));
  }
  const architecture = request.architecture ?? goArchitectures[arch()] ?? arch();
  const config = await writeBlob(
    outDir,
    'application/vnd.oci.image.config.v1+json',
    json({
      created: '1970-01-01T00:00:00Z',
      architecture,
      os: 'linux',
      config: request.config ?? {},
      rootfs: { type: 'layers', diff_ids: diffIds },
    }),
  );
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = await writeBlob(
    outDir,
    manifestType,
    json({ schemaVersion: 2, mediaType: manifestType, config, layers }),
  );
  await addToIndex(outDir, { ...manifest, annotations: { [refName]: name } });
  return {
    name,
    id: config.digest,
    manifestDigest: manifest.digest,
    layerDigests: layers.map((l) => l.digest),
    layoutDir: outDir,
  };
}

function compress(tar: Uint8Array, how: 'gzip' | 'zstd' | 'none'): Uint8Array {
  if (how === 'none') {
    return tar;
  }
  return how === 'gzip' ? gzipSync(tar, { level: 6 }) : zstdCompressSync(tar);
}

async function writeBlob(
  outDir: string,
  mediaType: string,
  bytes: Uint8Array,
): Promise<Descriptor> {
  const digest = digestOf(bytes);
  await writeFile(join(outDir, 'blobs', digest.replace(':', '/')), bytes);
  return { mediaType, digest, size: bytes.length };
}

async function addToIndex(outDir: string, manifest: Descriptor): Promise<void> {
  const kept = (await readIndex(outDir)).filter(
    (m) => m.annotations?.[refName] !== manifest.annotations?.[refName],
  );
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [...kept, manifest],
  };
  await writeFile(join(outDir, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
  await writeFile(join(outDir, 'index.json'), json(index));
}

async function readIndex(outDir: string): Promise<readonly Descriptor[]> {
  try {
    const text = await readFile(join(outDir, 'index.json'), 'utf8');
    return (JSON.parse(text) as { manifests: Descriptor[] }).manifests;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return [];
    }
    throw error;
  }
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
