import { grpcCodeOf, kindOf, messageOf } from '@gantry/errors';

/** The headers that end a call. */
export type StatusTrailers = Readonly<Record<string, string>>;

export const okTrailers: StatusTrailers = { 'grpc-status': '0' };

// Clients take 16 KiB of headers and more; a longer message would end the call without a status.
const longestMessage = 12 << 10;
const cutMark = ' (cut)';

/** What a client is told of `error`: the code of the outermost kind, and every message. */
export function statusTrailers(error: unknown): StatusTrailers {
  const message = encodeMessage(messageOf(error));
  const status = String(grpcCodeOf(kindOf(error)));
  return message === ''
    ? { 'grpc-status': status }
    : { 'grpc-status': status, 'grpc-message': message };
}

/**
 * The percent-encoding of PROTOCOL-HTTP2.md, cut to what fits in a header
 * block. A space at either end is encoded too: HTTP/2 strips it or refuses it.
 */
export function encodeMessage(message: string): string {
  if (message.length <= longestMessage && /^(?:[!-$&-~](?:[ -$&-~]*[!-$&-~])?)?$/.test(message)) {
    return message;
  }
  let encoded = '';
  for (const char of message) {
    const piece = /[ -$&-~]/.test(char) ? char : percentEncode(char);
    if (encoded.length + piece.length > longestMessage) {
      encoded += cutMark;
      break;
    }
    encoded += piece;
  }
  return encoded.replace(/^ | $/g, '%20');
}

function percentEncode(char: string): string {
  return Buffer.from(char).reduce(
    (text, byte) => `${text}%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    '',
  );
}
