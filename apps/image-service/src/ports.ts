import type { Descriptor, Digest, ImageManifest } from '@gantry/oci';

/*
 * What image-service needs of the world. Whatever is removed twice is a success.
 */

/** What something takes on disk, as `du` counts it. */
export interface DiskUsage {
  readonly bytes: number;
  readonly inodes: number;
}

/** One layer of an image, as its config and manifest describe it. */
export interface LayerSpec {
  /** Digest of the uncompressed tar: what the layer is known by. */
  readonly diffId: Digest;
  /** Of the bytes as they come; absent for layers of archives that are vouched for by the diff id alone. */
  readonly digest?: Digest;
  /** Of the bytes as they come. */
  readonly size?: number;
}

export interface LayerOptions {
  readonly signal: AbortSignal;
}

/**
 * Keeps layers and turns chains of them into lower directories. It is fed the
 * bytes of a layer as they come, once, in order: an implementation may extract
 * them, or keep the tar and an index (docs of the EROFS store). Nothing that it
 * is asked for is ever visible before both digests have been checked.
 */
export interface LayerStore {
  /** `directories`, ... */
  readonly name: string;
  /** Reports whether the layer is here, whole. */
  has(diffId: Digest): Promise<boolean>;
  /**
   * Takes one layer, gzip, zstd or plain. The caller holds the layer's lock. On
   * failure or abort nothing is left and the source has been closed. Not on
   * disk for sure before `sync`.
   */
  prepareLayer(
    layer: LayerSpec,
    source: AsyncIterable<Uint8Array>,
    options: LayerOptions,
  ): Promise<DiskUsage>;
  /** Makes every layer prepared so far survive a power cut. */
  sync(): Promise<void>;
  /**
   * The lower directories of a chain (lowest layer first), topmost first, as
   * overlayfs wants them. May build or mount what they need; asking again is cheap.
   */
  lowerOf(diffIds: readonly Digest[]): Promise<readonly string[]>;
  /** Drops what `lowerOf` made for a chain that nobody uses any more. */
  releaseChain(diffIds: readonly Digest[]): Promise<void>;
  /** Removes a layer; the caller holds its lock and knows that nobody uses it. */
  remove(diffId: Digest): Promise<void>;
  /** Every layer that is here, whole: for reconciliation at start. */
  list(): Promise<readonly Digest[]>;
}

/** A manifest as it was found, with what led to it. */
export interface ResolvedManifest {
  readonly manifest: ImageManifest;
  /** Index (if any) and manifest, as bytes, to be kept. */
  readonly documents: readonly { readonly digest: Digest; readonly bytes: Buffer }[];
  /** What a name `repository@digest` holds: of the index where there is one. */
  readonly targetDigest: Digest;
}

/** Where an image comes from: a registry or an archive. */
export interface ImageSource {
  /** For messages and spans. */
  readonly description: string;
  resolve(options: LayerOptions): Promise<ResolvedManifest>;
  /** The whole of a small blob; the caller checks digest and size. */
  readBlob(blob: Descriptor, options: LayerOptions): Promise<Buffer>;
  /** The bytes of a blob in order; the reader checks them. */
  openBlob(blob: Descriptor, options: LayerOptions): AsyncIterable<Uint8Array>;
}

/** What the CRI's AuthConfig gives for one pull (api.proto); empty strings are absent. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** Trades for a token at the registry's token server (OAuth2 refresh token). */
  readonly identityToken: string;
  /** A bearer token for the registry itself. */
  readonly registryToken: string;
}

/** The wall clock, in milliseconds since the epoch. */
export type Clock = () => number;
