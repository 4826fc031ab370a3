import type { ServerHttp2Stream } from 'node:http2';

/** A flag byte and a length of four bytes stand before each message: PROTOCOL-HTTP2.md. */
export const framePrefixBytes = 5;

// Up to here one copy costs less than a second entry in the list of buffers to write.
const copiedBytes = 16 << 10;

/** Writes one message, not compressed; `false` says to wait for 'drain' before the next. */
export function writeMessage(stream: ServerHttp2Stream, body: Uint8Array): boolean {
  const { length } = body;
  if (length <= copiedBytes) {
    const frame = Buffer.allocUnsafe(framePrefixBytes + length);
    writePrefix(frame, length);
    frame.set(body, framePrefixBytes);
    return stream.write(frame);
  }
  const prefix = Buffer.allocUnsafe(framePrefixBytes);
  writePrefix(prefix, length);
  stream.cork();
  stream.write(prefix);
  const hasRoom = stream.write(body);
  stream.uncork();
  return hasRoom;
}

function writePrefix(frame: Buffer, length: number): void {
  frame[0] = 0;
  frame.writeUInt32BE(length, 1);
}
