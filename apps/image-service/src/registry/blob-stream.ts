import { setTimeout as delay } from 'node:timers/promises';
import { RuntimeError } from '@gantry/errors';
import type { Descriptor } from '@gantry/oci';
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
  /** The server of the last answer is of no use: ask another from now on. False when there is none. */
  tryNext(): boolean;
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
 * next. Fails when there is no next, at the signal, or when a server sends
 * other bytes than asked for or more than the blob has.
 */
export async function* blobStream(
  blob: Descriptor,
  options: BlobStreamOptions,
): AsyncGenerator<Uint8Array> {
  let offset = options.begin;
  let [breaks, breaksInAll] = [0, 0];
  let pace = new Pace(options.progressTimeoutMs);
  while (offset < blob.size) {
    const answer = await pace.wait(() => options.open(offset));
    let fault: unknown;
    try {
      for await (const chunk of freshBytes(answer, offset, pace)) {
        offset += chunk.length;
        breaks = 0;
        if (offset > blob.size) {
          const message = `registry host ${answer.url.host} sent more of blob ${blob.digest} than the ${blob.size} bytes that its manifest tells`;
          throw new RuntimeError('failed-precondition', message);
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
    breaks += 1;
    breaksInAll += 1;
    const isHopeless = breaks >= maxBreaks || breaksInAll >= maxBreaksInAll;
    if (isHopeless || fault instanceof StalledError) {
      if (!options.tryNext()) {
        const { host } = answer.url;
        throw registryUnavailable(
          `registry host ${host} broke off blob ${blob.digest} after ${offset} of ${blob.size} bytes`,
          fault,
        );
      }
      [breaks, breaksInAll] = [0, 0];
      pace = new Pace(options.progressTimeoutMs);
    } else {
      const pauseMs = options.backoffMs * 2 ** (breaks - 1);
      await pace.wait(() => delay(pauseMs, undefined, { signal: options.signal }));
    }
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

/** A server that knows no ranges sends all of it again. */
function bytesToSkip(answer: HttpAnswer, offset: number): number {
  if (answer.status !== 206) {
    return offset;
  }
  const start = /^bytes (\d+)-/.exec(answer.headers['content-range'] ?? '')?.[1];
  if (Number(start) !== offset) {
    throw new RuntimeError(
      'failed-precondition',
      `registry host ${answer.url.host} sent another range than asked for`,
    );
  }
  return 0;
}
