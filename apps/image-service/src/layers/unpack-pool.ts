import { Worker } from 'node:worker_threads';
import { RuntimeError } from '@gantry/errors';
import type { DiskUsage } from '../ports.ts';
import {
  chunkBytes,
  chunkOf,
  chunksUnderWay,
  type Feed,
  type FromWorker,
  jobStates,
  moveJob,
  newSharedMemory,
  type SharedMemory,
  type ToWorker,
  type UnpackWork,
} from './unpack-job.ts';
import { WrongBlobError } from './wrong-blob.ts';

const idleMs = 60_000;
/** Read before a thread is taken. */
const headBytes = 64 << 10;

type Waiting = (seat: Seat) => void;

interface Seat {
  readonly worker: Worker;
  readonly memory: SharedMemory;
  /** Of the last job. */
  number: number;
  /** Ends the thread when it has been idle for long. */
  idleTimer: NodeJS.Timeout | undefined;
  /** Set while a job runs. */
  onMessage: ((message: FromWorker) => void) | undefined;
  /** Set while a job runs: told when the thread dies under it. */
  onDeath: ((error: Error) => void) | undefined;
}

/** Worker threads for layers, one job each at a time; started when first needed. */
export class UnpackPool implements AsyncDisposable {
  readonly #size: number;
  readonly #seats = new Set<Seat>();
  readonly #idle: Seat[] = [];
  readonly #waiting: Waiting[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  /**
   * Runs one job, feeding it from `source`. Rejects with the worker's error, the
   * source's, or the signal's reason; the worker no longer touches anything
   * then, and the source has been closed.
   */
  async run(
    work: UnpackWork,
    source: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<DiskUsage> {
    const iterator = source[Symbol.asyncIterator]();
    try {
      // A thread is taken when there is something to do, not for as long as a registry thinks.
      const head = await readHead(iterator);
      const seat = await this.#take(signal);
      const give = (): void => this.#giveBack(seat);
      return await runOn(seat, work, { head, iterator }, signal, give);
    } finally {
      await iterator.return?.();
    }
  }

  #take(signal: AbortSignal): Promise<Seat> {
    signal.throwIfAborted();
    const seat = this.#idle.pop();
    if (seat !== undefined) {
      clearTimeout(seat.idleTimer);
      return Promise.resolve(seat);
    }
    if (this.#seats.size < this.#size) {
      return Promise.resolve(this.#start());
    }
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(signal.reason as Error);
      };
      const waiting: Waiting = (free) => {
        signal.removeEventListener('abort', leave);
        resolve(free);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiting);
    });
  }

  #giveBack(seat: Seat): void {
    seat.onDeath = undefined;
    seat.onMessage = undefined;
    seat.worker.unref();
    // A thread that died was taken from the set; whoever waits gets a new one.
    const next = this.#seats.has(seat) ? seat : undefined;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting(next ?? this.#start());
    } else if (next !== undefined) {
      this.#idle.push(next);
      // A node pulls in bursts; between them a thread's memory is better used elsewhere.
      next.idleTimer = setTimeout(() => this.#end(next), idleMs).unref();
    }
  }

  #end(seat: Seat): void {
    this.#seats.delete(seat);
    this.#idle.splice(this.#idle.indexOf(seat), 1);
    void seat.worker.terminate();
  }

  #start(): Seat {
    const memory = newSharedMemory();
    const worker = new Worker(new URL('./unpack-worker.ts', import.meta.url), {
      workerData: memory,
    });
    // An idle pool keeps no process alive.
    worker.unref();
    const seat: Seat = {
      worker,
      memory,
      number: 0,
      idleTimer: undefined,
      onMessage: undefined,
      onDeath: undefined,
    };
    worker.on('message', (message: FromWorker) => seat.onMessage?.(message));
    const died = (error: Error): void => {
      this.#seats.delete(seat);
      const at = this.#idle.indexOf(seat);
      if (at !== -1) {
        this.#idle.splice(at, 1);
      }
      seat.onDeath?.(error);
    };
    worker.on('error', (error) => died(error as Error));
    worker.on('exit', () => died(new Error('the unpack thread ended')));
    this.#seats.add(seat);
    return seat;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#seats].map(({ worker }) => worker.terminate()));
  }
}

async function runOn(
  seat: Seat,
  work: UnpackWork,
  source: Source,
  signal: AbortSignal,
  release: () => void,
): Promise<DiskUsage> {
  seat.number += 1;
  Atomics.store(seat.memory.state, 0, jobStates.waiting);
  seat.worker.ref();
  const feeder = new Feeder(seat, work);
  const result = new Promise<DiskUsage>((resolve, reject) => {
    seat.onMessage = (message) => {
      if ('taken' in message) {
        feeder.taken();
      } else if ('done' in message) {
        resolve(message.done);
      } else {
        const { kind, message: why, isWrongBlob } = message.failed;
        reject(isWrongBlob ? new WrongBlobError(why) : new RuntimeError(kind, why));
      }
    };
    seat.onDeath = (error) => reject(new RuntimeError('internal', 'unpack', { cause: error }));
  });
  const settled = (): void => {
    if (!feeder.hasStopped()) {
      feeder.stop();
      release();
    }
  };
  const over = result.then(settled, settled);
  try {
    await feeder.feed(source, signal);
    return await result;
  } catch (error) {
    // What has ended has left the thread and its memory to the next.
    if (!feeder.hasStopped()) {
      if (!feeder.abort()) {
        // The thread knows nothing of it.
        settled();
      } else if (!moveJob(seat.memory, 'dropped')) {
        // One that is still starting, or busy, will leave a dropped job alone.
        await over;
      }
    }
    throw error;
  }
}

/** The bytes of a job: those that came first, then what `iterator` gives. */
interface Source {
  readonly head: Uint8Array | undefined;
  readonly iterator: AsyncIterator<Uint8Array>;
}

/** All of a small source, the beginning of a large one; undefined when it is empty. */
async function readHead(iterator: AsyncIterator<Uint8Array>): Promise<Uint8Array | undefined> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  while (length < headBytes) {
    const piece = await nextOf(iterator);
    if (piece === undefined) {
      break;
    }
    // A piece is valid until the next is asked for.
    pieces.push(Buffer.from(piece));
    length += piece.length;
  }
  return length === 0 ? undefined : Buffer.concat(pieces);
}

async function nextOf(iterator: AsyncIterator<Uint8Array>): Promise<Uint8Array | undefined> {
  const result = await iterator.next();
  return result.done === true ? undefined : result.value;
}

/** Sends a source to a worker, a few chunks ahead of it at most. */
class Feeder {
  readonly #seat: Seat;
  readonly #work: UnpackWork;
  #hasBegun = false;
  #sent = 0;
  #taken = 0;
  #stopped = false;
  #wake: (() => void) | undefined;

  constructor(seat: Seat, work: UnpackWork) {
    this.#seat = seat;
    this.#work = work;
  }

  taken(): void {
    this.#taken += 1;
    this.#wake?.();
  }

  /** The worker has ended: nothing more is sent. */
  stop(): void {
    this.#stopped = true;
    this.#wake?.();
  }

  hasStopped(): boolean {
    return this.#stopped;
  }

  /** False where nothing has been sent yet, and nothing will be. */
  abort(): boolean {
    if (this.#hasBegun) {
      this.#send({ abort: true });
    }
    return this.#hasBegun;
  }

  /** Ends early, without error, when the worker does: its own answer tells why. */
  async feed({ head, iterator }: Source, signal: AbortSignal): Promise<void> {
    const onAbort = (): void => this.#wake?.();
    signal.addEventListener('abort', onAbort);
    try {
      let chunk = chunkOf(this.#seat.memory, 0);
      let filled = 0;
      for (let piece = head; piece !== undefined; piece = await nextOf(iterator)) {
        // Copied, for whoever reads a socket has memory of his own for it.
        for (let at = 0; at < piece.length; ) {
          if (this.hasStopped()) {
            // The memory is that of the worker's next job.
            return;
          }
          const part = piece.subarray(at, at + chunkBytes - filled);
          chunk.set(part, filled);
          at += part.length;
          filled += part.length;
          if (filled === chunkBytes) {
            chunk = await this.#sendChunk(filled, signal);
            filled = 0;
          }
        }
      }
      signal.throwIfAborted();
      this.#send({ bytes: filled, isLast: true });
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Sends the chunk that has been filled; resolves with the next, once the worker is done with what was in it. */
  async #sendChunk(bytes: number, signal: AbortSignal): Promise<Buffer> {
    this.#send({ bytes, isLast: false });
    this.#sent += 1;
    while (this.#sent - this.#taken >= chunksUnderWay && !this.#stopped) {
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    signal.throwIfAborted();
    return chunkOf(this.#seat.memory, this.#sent);
  }

  /** The work goes with what is sent first: each message wakes a thread. */
  #send(feed: Feed): void {
    if (this.#stopped) {
      return;
    }
    const { number, worker } = this.#seat;
    const message: ToWorker = this.#hasBegun
      ? { number, ...feed }
      : { number, work: this.#work, ...feed };
    this.#hasBegun = true;
    worker.postMessage(message);
  }
}
