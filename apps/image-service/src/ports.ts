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
  /** Where they meet a limit they are read to their end: whoever sent them may have sent wrong ones, and others are left to ask. */
  readonly hasOthers?: boolean;
}

export interface LayerOptions {
  readonly signal: AbortSignal;
}

export interface BlobOptions extends LayerOptions {
  /** Begin here; 0 where the source can't resume. */
  readonly offset?: number;
}

/** Who stands on a chain of layers: containers that run on it, an image that may be run, nobody. */
export type ChainUse = 'running' | 'kept' | 'unused';

/**
 * Keeps layers and turns chains of them into lower directories. It is fed the
 * bytes of a layer as they come, once, in order: an implementation may extract
 * them, or keep the tar and an index. Nothing that it is asked for is ever
 * visible before both digests have been checked. A chain lists layers, the
 * lowest first.
 */
export interface LayerStore {
  /** `directories`, `erofs`. */
  readonly name: string;
  /**
   * Reports whether the layer is here, whole; with a chain, whether it need not
   * be fetched for that chain to be usable.
   */
  has(diffId: Digest, chain?: readonly Digest[]): Promise<boolean>;
  /**
   * Reports, at one look, that all of a chain is here, whole and prepared. Where
   * it is not, the layers may still be here.
   */
  hasChain(chain: readonly Digest[]): Promise<boolean>;
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
  /** Makes every layer prepared so far survive a power cut, and what lies in that directory. */
  sync(alongside: string): Promise<void>;
  /** Does ahead of time what `lowerOf` needs beside the layers, which are all here. */
  prepareChain(diffIds: readonly Digest[], options: LayerOptions): Promise<void>;
  /**
   * The lower directories of a chain, topmost first, as overlayfs wants them:
   * readable and never written to. May build or mount what they need; asking
   * again is cheap. They hold until `settleChain` finds nobody running on them.
   */
  lowerOf(diffIds: readonly Digest[]): Promise<readonly string[]>;
  /**
   * Drops what `prepareChain` and `lowerOf` made, as far as `use` allows, which
   * is asked while nobody else can begin to use the chain.
   */
  settleChain(diffIds: readonly Digest[], use: () => ChainUse): Promise<void>;
  /** The same for whatever chain is found here, told by those that are in use: for the start. */
  settleChains(use: () => ChainsInUse): Promise<void>;
  /** What chains take beside their layers. */
  chainUsage(): Promise<DiskUsage>;
  /** Removes a layer; the caller holds its lock and knows that nobody uses it. */
  remove(diffId: Digest): Promise<void>;
  /** A layer as a tar, for an archive; undefined when it is not here. */
  openTar(diffId: Digest): Promise<LayerTar | undefined>;
  /** Every layer that is here, whole: for reconciliation at start. */
  list(): Promise<readonly Digest[]>;
}

/** A layer that can be read as often as is liked, with the same bytes each time. */
export interface LayerTar {
  /** The bytes are those that the diff id is of; others were made of an extracted tree. */
  readonly isOriginal: boolean;
  /** Unknown until they have been read once, where they are made. */
  readonly size?: number;
  read(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface ChainsInUse {
  readonly running: readonly (readonly Digest[])[];
  readonly kept: readonly (readonly Digest[])[];
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
  /** Blobs can be read from anywhere in them, and are too far to be read twice. */
  readonly canResume: boolean;
  resolve(options: LayerOptions): Promise<ResolvedManifest>;
  /** The whole of a small blob; the caller checks digest and size. */
  readBlob(blob: Descriptor, options: LayerOptions): Promise<Buffer>;
  /** The bytes of a blob in order, each chunk valid until the next is asked for; the reader checks them. */
  openBlob(blob: Descriptor, options: BlobOptions): AsyncIterable<Uint8Array>;
  /**
   * What `openBlob` gave was wrong, as `error` tells: whoever gave it is not asked for this blob again.
   * Rejects with what to tell when nobody else is left to ask. Absent where there is but one origin.
   */
  blame?(blob: Descriptor, error: Error): Promise<void>;
  /** Reports whether anybody would be left to ask, were whoever is asked next to be blamed. Absent as `blame` is. */
  hasOthers?(blob: Descriptor): Promise<boolean>;
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
