import { createHash } from 'node:crypto';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { type Digest, digestOf, mediaTypes } from '@gantry/oci';
// oxlint-disable-next-line no-restricted-imports -- the package's own entry for tests
import { type TestEntry, tarOf } from '@gantry/tar/testing';

export interface TestImage {
  readonly id: Digest;
  readonly manifestDigest: Digest;
  readonly manifestType: string;
  readonly manifest: Buffer;
  readonly blobs: ReadonlyMap<Digest, Buffer>;
  /** Of the compressed layers, lowest first. */
  readonly layerDigests: readonly Digest[];
  readonly diffIds: readonly Digest[];
}

export interface TestImageOptions {
  readonly layers: readonly (readonly TestEntry[])[];
  readonly compression?: 'gzip' | 'zstd' | 'none';
  readonly docker?: boolean;
  readonly user?: string;
  /** Tells images with the same layers apart. */
  readonly label?: string;
  /** Spoils the config or manifest before they are sealed by a digest. */
  readonly patch?: (parts: { config: object; manifest: object }) => void;
}

const compress = { gzip: gzipSync, zstd: zstdCompressSync, none: (data: Buffer) => data };

export function digestOfBytes(bytes: Buffer): Digest {
  return digestOf('sha256', createHash('sha256').update(bytes).digest('hex'));
}

/** An image as a builder would make it, in memory. */
export function makeImage(options: TestImageOptions): TestImage {
  const { layers, compression = 'gzip', docker = false, user = '', label = '' } = options;
  const tars = layers.map((entries) => tarOf(entries));
  const compressed = tars.map((tar) => compress[compression](tar));
  const config = {
    os: 'linux',
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    config: { User: user, Cmd: ['/bin/true'], Labels: { label } },
    rootfs: { type: 'layers', diff_ids: tars.map(digestOfBytes) },
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: docker ? mediaTypes.dockerManifest : mediaTypes.ociManifest,
    config: {},
    layers: compressed.map((bytes) => ({
      mediaType: docker ? mediaTypes.dockerLayer : layerType(compression),
      digest: digestOfBytes(bytes),
      size: bytes.length,
    })),
  };
  options.patch?.({ config, manifest });
  const configBytes = Buffer.from(JSON.stringify(config));
  manifest.config = {
    mediaType: docker ? mediaTypes.dockerConfig : mediaTypes.ociConfig,
    digest: digestOfBytes(configBytes),
    size: configBytes.length,
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  const id = digestOfBytes(configBytes);
  return {
    id,
    manifest: bytes,
    manifestDigest: digestOfBytes(bytes),
    manifestType: manifest.mediaType,
    blobs: new Map([[id, configBytes], ...compressed.map((b) => [digestOfBytes(b), b] as const)]),
    layerDigests: compressed.map(digestOfBytes),
    diffIds: tars.map(digestOfBytes),
  };
}

function layerType(compression: 'gzip' | 'zstd' | 'none'): string {
  return compression === 'none' ? mediaTypes.ociLayer : `${mediaTypes.ociLayer}+${compression}`;
}

/** An index over images of one or more platforms. */
export function makeIndex(
  entries: readonly { readonly image: TestImage; readonly architecture: string }[],
): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: entries.map(({ image, architecture }) => ({
        mediaType: image.manifestType,
        digest: image.manifestDigest,
        size: image.manifest.length,
        platform: { os: 'linux', architecture },
      })),
    }),
  );
}
