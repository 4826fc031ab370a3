import { resetStatus, type SpdyStream } from '@gantry/spdy';

/** The two streams of one forwarded connection. */
export interface StreamPair {
  readonly port: number;
  readonly data: SpdyStream;
  readonly error: SpdyStream;
}

interface Waiting {
  data?: SpdyStream;
  error?: SpdyStream;
  readonly timer: NodeJS.Timeout;
}

/**
 * Finds the two streams that belong together: those with the same `requestid`;
 * where there is none, the data stream that was opened right after its error
 * stream. A stream that can't be one of a pair is reset without an answer.
 */
export class StreamPairs {
  readonly #waiting = new Map<string, Waiting>();
  /** Pairs that are complete and not over: their ids are taken. */
  readonly #active = new Map<string, StreamPair>();
  readonly #timeoutMs: number;
  readonly #onPair: (pair: StreamPair) => void;

  constructor(timeoutMs: number, onPair: (pair: StreamPair) => void) {
    this.#timeoutMs = timeoutMs;
    this.#onPair = onPair;
  }

  add(stream: SpdyStream): void {
    const type = stream.headers.get('streamtype');
    const port = portOf(stream);
    if (port === undefined || (type !== 'data' && type !== 'error')) {
      stream.reset(resetStatus.cancel);
      return;
    }
    const id = pairIdOf(stream, type);
    const pair = this.#active.get(id) ?? this.#waiting.get(id) ?? this.#wait(id);
    if (pair[type] !== undefined) {
      stream.reset(resetStatus.cancel);
      endWithError(pair.error, `request ${id}: ${type} stream was opened twice`);
      pair.data?.reset();
      this.#drop(id);
      return;
    }
    const waiting = this.#waiting.get(id);
    if (waiting !== undefined) {
      waiting[type] = stream;
      stream.accept();
      // Only its client's end ever comes in on an error stream.
      if (type === 'error') {
        stream.ignoreInput();
      }
      this.#complete(id, waiting);
    }
  }

  /** Stops all timers; the connection is over. */
  end(): void {
    for (const { timer } of this.#waiting.values()) {
      clearTimeout(timer);
    }
    this.#waiting.clear();
  }

  #wait(id: string): Waiting {
    const timer = setTimeout(() => this.#expire(id), this.#timeoutMs);
    const waiting = { timer };
    this.#waiting.set(id, waiting);
    return waiting;
  }

  #complete(id: string, { data, error }: Waiting): void {
    if (data === undefined || error === undefined) {
      return;
    }
    this.#drop(id);
    const port = portOf(data);
    if (port === undefined || port !== portOf(error)) {
      endWithError(error, `request ${id}: its two streams name different ports`);
      data.reset();
      return;
    }
    const pair = { port, data, error };
    this.#active.set(id, pair);
    data.once('close', () => this.#active.delete(id));
    this.#onPair(pair);
  }

  /**
   * Without a word: a client that has given the stream up reads it no more, and client-go reads nothing else
   * either as long as a text waits there.
   */
  #expire(id: string): void {
    const waiting = this.#waiting.get(id);
    this.#drop(id);
    waiting?.error?.reset(resetStatus.cancel);
    waiting?.data?.reset(resetStatus.cancel);
  }

  #drop(id: string): void {
    clearTimeout(this.#waiting.get(id)?.timer);
    this.#waiting.delete(id);
  }
}

/** Tells the client why; it takes any text here for the failure of its connection. */
export function endWithError(stream: SpdyStream | undefined, message: string): void {
  if (stream?.writable) {
    stream.end(message);
  }
}

function pairIdOf(stream: SpdyStream, type: 'data' | 'error'): string {
  const id = stream.headers.get('requestid') ?? '';
  return id === '' ? `stream ${type === 'error' ? stream.id : stream.id - 2}` : id;
}

function portOf({ headers }: SpdyStream): number | undefined {
  const text = headers.get('port') ?? '';
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}
