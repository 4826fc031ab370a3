import type { ErrorKind } from '@gantry/errors';
import type { Digest } from '@gantry/oci';
import type { DiskUsage, LayerSpec } from '../ports.ts';

/** What a worker can be told to do. */
export type UnpackWork = ExtractWork | KeepWork | BuildWork;

/** Extract one layer into an empty directory. */
export interface ExtractWork {
  readonly kind: 'extract';
  readonly layer: LayerSpec;
  /** Gets `fs/` with the tree, and `layer.json`. */
  readonly directory: string;
  readonly maxBytes: number;
}

/** Keep one layer as a tar with an index, in an empty directory. */
export interface KeepWork {
  readonly kind: 'keep';
  readonly layer: LayerSpec;
  readonly directory: string;
  readonly maxBytes: number;
}

/** Write the metadata of an image over layers that are kept so; it is fed nothing. */
export interface BuildWork {
  readonly kind: 'build';
  /** The lowest first. */
  readonly layers: readonly { readonly diffId: Digest; readonly directory: string }[];
  /** A new file. */
  readonly file: string;
}

export interface UnpackJob {
  readonly work: UnpackWork;
  /**
   * One number that both sides see: waiting, begun or dropped. Whoever moves it
   * on from waiting decides whether anything is ever touched.
   */
  readonly state: Int32Array<SharedArrayBuffer>;
}

export const jobStates = { waiting: 0, begun: 1, dropped: 2 } as const;

/** Moves a job on from waiting; false when the other side was first. */
export function moveJob(job: UnpackJob, to: 'begun' | 'dropped'): boolean {
  const { waiting } = jobStates;
  return Atomics.compareExchange(job.state, 0, waiting, jobStates[to]) === waiting;
}

/** To the worker, over the port of one job. A chunk's memory goes with it. */
export type ToWorker =
  | { readonly chunk: Uint8Array<ArrayBuffer> }
  | { readonly end: true }
  | { readonly abort: true };

/** From the worker. `taken` is sent for each chunk, with its memory, so that only a few are ever under way. */
export type FromWorker =
  | { readonly taken: Uint8Array<ArrayBuffer> }
  | { readonly done: DiskUsage }
  | { readonly failed: { readonly kind: ErrorKind; readonly message: string } };

/** layer.json: what the tree itself does not tell. */
export interface LayerNotes {
  /** Directories without an entry in the archive, relative, one character a byte; `''` is the root. */
  readonly implicit: readonly string[];
}
