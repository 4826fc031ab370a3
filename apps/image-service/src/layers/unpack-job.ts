import type { ErrorKind } from '@gantry/errors';
import type { Digest } from '@gantry/oci';
import type { DiskUsage, LayerSpec } from '../ports.ts';
import type { LayerLimits } from './layer-limits.ts';

/** What a worker can be told to do. */
export type UnpackWork = ExtractWork | KeepWork | BuildWork;

/** Extract one layer into an empty directory. */
export interface ExtractWork {
  readonly kind: 'extract';
  readonly layer: LayerSpec;
  /** Gets `fs/` with the tree, and `layer.json`. */
  readonly directory: string;
  readonly limits: LayerLimits;
}

/** Keep one layer as a tar with an index. */
export interface KeepWork {
  readonly kind: 'keep';
  readonly layer: LayerSpec;
  /** Is made. */
  readonly directory: string;
  readonly limits: LayerLimits;
}

/** Write the metadata of an image over layers that are kept so; it is fed nothing. */
export interface BuildWork {
  readonly kind: 'build';
  /** The lowest first. */
  readonly layers: readonly { readonly diffId: Digest; readonly directory: string }[];
  /** A new file. */
  readonly file: string;
}

/**
 * The memory that a worker shares with the main thread for its whole life: what is sent by
 * messages is new memory for each garbage collector that it passes.
 */
export interface SharedMemory {
  /** So many chunks, filled in turn with the bytes of a job, each again when the worker has taken it. */
  readonly ring: SharedArrayBuffer;
  /**
   * What has become of the job: waiting, begun or dropped. Whoever moves it
   * on from waiting decides whether anything is ever touched.
   */
  readonly state: Int32Array<SharedArrayBuffer>;
}

export const chunkBytes = 256 << 10;
export const chunksUnderWay = 4;

export const jobStates = { waiting: 0, begun: 1, dropped: 2 } as const;

export function newSharedMemory(): SharedMemory {
  return {
    ring: new SharedArrayBuffer(chunkBytes * chunksUnderWay),
    state: new Int32Array(new SharedArrayBuffer(4)),
  };
}

/** Moves a job on from waiting; false when the other side was first. */
export function moveJob({ state }: SharedMemory, to: 'begun' | 'dropped'): boolean {
  const { waiting } = jobStates;
  return Atomics.compareExchange(state, 0, waiting, jobStates[to]) === waiting;
}

/** The memory of a job's chunk by its running number. */
export function chunkOf({ ring }: SharedMemory, number: number): Buffer {
  return Buffer.from(ring, (number % chunksUnderWay) * chunkBytes, chunkBytes);
}

/** So many bytes of the next chunk, of which the last may have none; or that no more comes. */
export type Feed = { readonly bytes: number; readonly isLast: boolean } | { readonly abort: true };

/** To the worker. The first message of a job brings the work, and for a small layer all of its bytes. */
export type ToWorker = Feed & {
  /** Of the job: what was sent for an earlier one may come after its end. */
  readonly number: number;
  readonly work?: UnpackWork;
};

/** From the worker. `taken` is sent for each chunk but the last: it may be filled again. One of the others ends the job. */
export type FromWorker =
  | { readonly taken: true }
  | { readonly done: DiskUsage }
  | {
      readonly failed: {
        readonly kind: ErrorKind;
        readonly message: string;
        readonly isWrongBlob: boolean;
      };
    };

/** layer.json: what the tree itself does not tell. */
export interface LayerNotes {
  /** Directories without an entry in the archive, relative, one character a byte; `''` is the root. */
  readonly implicit: readonly string[];
}
