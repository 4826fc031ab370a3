import { RuntimeError } from '@gantry/errors';

/** The largest data of a frame that either side takes, in bytes (ttrpc PROTOCOL.md). */
export const maxDataBytes = 4 << 20;

export const headerBytes = 10;

/** What a frame is (ttrpc PROTOCOL.md, message types). */
export const frameType = { request: 1, response: 2, data: 3 } as const;

/** What a frame says of its stream (ttrpc PROTOCOL.md, flags). */
export const frameFlags = { remoteClosed: 1, remoteOpen: 2, noData: 4 } as const;

export interface Frame {
  /** Odd; those of clients rise. */
  readonly streamId: number;
  readonly type: number;
  readonly flags: number;
  readonly data: Uint8Array;
}

/** The bytes of one frame. Throws `resource-exhausted` above `limit`, with both lengths. */
export function encodeFrame(
  frame: Omit<Frame, 'flags'> & { readonly flags?: number },
  limit = maxDataBytes,
): Buffer {
  const { length } = frame.data;
  if (length > limit) {
    throw new RuntimeError(
      'resource-exhausted',
      `message length ${length} exceeds the maximum of ${limit} bytes`,
    );
  }
  const bytes = Buffer.allocUnsafe(headerBytes + length);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt32BE(frame.streamId, 4);
  bytes.writeUInt8(frame.type, 8);
  bytes.writeUInt8(frame.flags ?? 0, 9);
  bytes.set(frame.data, headerBytes);
  return bytes;
}
