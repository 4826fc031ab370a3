import { setTimeout as delay } from 'node:timers/promises';
import { RuntimeError } from '@gantry/errors';
import type { Descriptor } from '@gantry/oci';
import { tooLong, tooShort, WrongBlobError } from '../layers/wrong-blob.ts';
import type { HttpAnswer } from './http.ts';
import { Pace, StalledError } from './pace.ts';
import { registryUnavailable } from './registry-error.ts';

export interface BlobStreamOptions {
  readonly signal: AbortSignal;
  /** What is before is here already. */
  readonly begin: number;
  readonly backoffMs: number;
  /** How long a server may send next to nothing. */
  readonly progressTimeoutMs: number;
  /** Asks for the bytes from `offset` on. */
  open(offset: number): Promise<HttpAnswer>;
  /** The server of the last answer is of no use: ask another from now on. */
  giveUp(error: Error): void;
}

/** In a row, without a byte. */
const maxBreaks = 5;
/** Where all bytes have come, the answer should end; nobody waits for that for long. */
const endTimeoutMs = 2000;
/** In all, of one server: enough for a poor line, and an end for one that gives a byte each time. */
const maxBreaksInAll = 1000;

/**
 * The bytes of a blob in order; a chunk is valid until the next is asked for. A connection that breaks is opened again where
 * it broke (RFC 9110 section 14, Range). A server whose connections break five
 * times in a row without a byte, or that falls silent or trickles, is given up for the
 * next. Fails as `open` does, at the signal, or with a WrongBlobError when a server sends
 * other bytes than asked for, more than the blob has, or less and says that it is all.
 */
export async function* blobStream(
  blob: Descriptor,
  options: BlobStreamOptions,
): AsyncGenerator<Uint8Array> {
  let offset = options.begin;
  let server = new Server(options);
  while (offset < blob.size) {
    const answer = await server.pace.wait(() => options.open(offset));
    let fault: unknown;
    try {
      for await (const chunk of freshBytes(answer, offset, server.pace)) {
        offset += chunk.length;
        server.breaks = 0;
        if (offset > blob.size) {
          throw tooLong(blob);
        }
        if (offset === blob.size) {
          answer.body.socket.setTimeout(endTimeoutMs);
        }
        yield chunk;
        release(chunk);
      }
    } catch (error) {
      options.signal.throwIfAborted();
      if (error instanceof RuntimeError) {
        throw error;
      }
      fault = error;
    } finally {
      answer.body.destroy();
    }
    if (offset >= blob.size) {
      return;
    }
    if (fault === undefined && isAllThereIs(answer)) {
      throw tooShort(blob, offset);
    }
    if (await server.mayGoOn(fault)) {
      continue;
    }
    const { host } = answer.url;
    const what = `registry host ${host} broke off blob ${blob.digest} after ${offset} of ${blob.size} bytes`;
    options.giveUp(registryUnavailable(what, fault));
    server = new Server(options);
  }
}

/** What one server has shown of itself. */
class Server {
  readonly pace: Pace;
  readonly #options: BlobStreamOptions;
  /** In a row, without a byte. */
  breaks = 0;
  #breaksInAll = 0;

  constructor(options: BlobStreamOptions) {
    this.#options = options;
    this.pace = new Pace(options.progressTimeoutMs);
  }

  /** After a connection that broke: waits a while, or tells that the server is to be given up. */
  async mayGoOn(fault: unknown): Promise<boolean> {
    this.breaks += 1;
    this.#breaksInAll += 1;
    const isHopeless = this.breaks >= maxBreaks || this.#breaksInAll >= maxBreaksInAll;
    if (isHopeless || fault instanceof StalledError) {
      return false;
    }
    const { backoffMs, signal } = this.#options;
    const pauseMs = backoffMs * 2 ** (this.breaks - 1);
    await this.pace.wait(() => delay(pauseMs, undefined, { signal }));
    return true;
  }
}

/**
 * Gives the memory of what one read of a socket brought back at once. Left to the garbage
 * collector, a blob of 30 MB makes it run three times over all that the service holds.
 */
function release({ buffer, byteLength }: Buffer): void {
  // Where the read brought more than this, the rest is still to be read.
  if (buffer instanceof ArrayBuffer && byteLength === buffer.byteLength) {
    buffer.transfer(0);
  }
}

async function* freshBytes(answer: HttpAnswer, offset: number, pace: Pace): AsyncGenerator<Buffer> {
  let skip = bytesToSkip(answer, offset);
  const chunks = (answer.body as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  for (;;) {
    pace.check();
    const next = await pace.wait(() => chunks.next());
    if (next.done === true) {
      return;
    }
    const chunk = next.value;
    pace.count(chunk.length);
    const fresh = chunk.subarray(Math.min(skip, chunk.length));
    skip -= chunk.length - fresh.length;
    if (fresh.length > 0) {
      yield fresh;
    }
  }
}

/** An answer with the whole blob that has come to its end: more is not to be had there. */
function isAllThereIs({ status, headers }: HttpAnswer): boolean {
  // Without either header an end can't be told from a broken connection (RFC 9112, section 6.3).
  const hasEnd = headers['content-length'] ?? headers['transfer-encoding'];
  return status === 200 && hasEnd !== undefined;
}

/** A server that knows no ranges sends all of it again. */
function bytesToSkip(answer: HttpAnswer, offset: number): number {
  if (answer.status !== 206) {
    return offset;
  }
  const start = /^bytes (\d+)-/.exec(answer.headers['content-range'] ?? '')?.[1];
  if (Number(start) !== offset) {
    throw new WrongBlobError(`blob: another range than the one asked for, from byte ${offset} on`);
  }
  return 0;
}
