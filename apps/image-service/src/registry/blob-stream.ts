import { setTimeout as delay } from 'node:timers/promises';
import { RuntimeError } from '@gantry/errors';
import type { Descriptor } from '@gantry/oci';
import { type HttpAnswer, StalledError } from './http.ts';

export interface BlobStreamOptions {
  readonly signal: AbortSignal;
  readonly backoffMs: number;
  /** Asks for the bytes from `offset` on. */
  open(offset: number): Promise<HttpAnswer>;
}

const maxBreaks = 5;

/**
 * The bytes of a blob in order. A connection that breaks is opened again where
 * it broke (RFC 9110 section 14, Range); it fails when it breaks five times in
 * a row without a byte, at the signal, or when the server sends other bytes than asked for.
 */
export async function* blobStream(
  blob: Descriptor,
  options: BlobStreamOptions,
): AsyncGenerator<Uint8Array> {
  let offset = 0;
  let breaks = 0;
  while (offset < blob.size) {
    const answer = await options.open(offset);
    try {
      let skip = bytesToSkip(answer, offset);
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        const fresh = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - fresh.length;
        if (fresh.length > 0) {
          offset += fresh.length;
          breaks = 0;
          yield fresh;
        }
      }
      if (offset >= blob.size) {
        return;
      }
      breaks += 1;
      check(breaks, `ended after ${offset} of ${blob.size} bytes`, answer, undefined);
    } catch (error) {
      options.signal.throwIfAborted();
      if (error instanceof RuntimeError) {
        throw error;
      }
      if (error instanceof StalledError) {
        const { host } = answer.url;
        throw new RuntimeError('unavailable', `registry host ${host}: blob ${blob.digest}`, {
          cause: error,
        });
      }
      breaks += 1;
      check(breaks, `broke off after ${offset} of ${blob.size} bytes`, answer, error);
    } finally {
      answer.body.destroy();
    }
    await delay(options.backoffMs * 2 ** (breaks - 1), undefined, { signal: options.signal });
  }
}

function check(breaks: number, what: string, answer: HttpAnswer, cause: unknown): void {
  if (breaks >= maxBreaks) {
    throw new RuntimeError('unavailable', `registry host ${answer.url.host} ${what}`, { cause });
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
