import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { RuntimeError } from '@gantry/errors';
import type { RequestMessage } from './message-reader.ts';

/** Value of `grpc-accept-encoding`: what `decodeMessage` knows. */
export const acceptedEncodings = 'identity,gzip';

const inflate = promisify(gunzip);

/** The message as its client made it. Throws what the call is answered with (compression.md). */
export function decodeMessage(
  { isCompressed, body }: RequestMessage,
  encoding: string | undefined,
  maxBytes: number,
): Buffer | Promise<Buffer> {
  if (!isCompressed) {
    return body;
  }
  if (encoding === 'gzip') {
    return gunzipMessage(body, maxBytes);
  }
  if (encoding === undefined || encoding === 'identity') {
    throw new RuntimeError('internal', 'read request: a compressed message without grpc-encoding');
  }
  throw new RuntimeError(
    'unimplemented',
    `read request: encoding "${encoding}" is not known, only ${acceptedEncodings}`,
  );
}

async function gunzipMessage(body: Buffer, maxBytes: number): Promise<Buffer> {
  try {
    return await inflate(body, { maxOutputLength: maxBytes });
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE') {
      throw new RuntimeError(
        'resource-exhausted',
        `read request: ${body.length} bytes of gzip hold a message larger than max (${maxBytes} bytes)`,
      );
    }
    throw new RuntimeError('internal', 'read request: gunzip the message', { cause });
  }
}
