import type { Duplex } from 'node:stream';
import { encodeDataHeader } from './encode.ts';

/** Go's own size: larger frames would hold up the other streams for longer. */
const maxDataBytes = 32 * 1024;
const smallBytes = 2048;

/**
 * Writes DATA frames. `done` is called when the transport has taken all bytes,
 * so that the caller may use the memory again and can't run ahead of the peer.
 */
export function writeData(
  transport: Duplex,
  streamId: number,
  chunks: readonly Buffer[],
  fin: boolean,
  done: (error?: Error | null) => void,
): void {
  const pieces = gather(chunks);
  transport.cork();
  for (const [i, piece] of pieces.entries()) {
    const isLast = i === pieces.length - 1;
    const header = encodeDataHeader(streamId, piece.length, fin && isLast);
    const callback = isLast ? done : undefined;
    if (piece.length <= smallBytes) {
      transport.write(piece.length === 0 ? header : Buffer.concat([header, piece]), callback);
    } else {
      transport.write(header);
      transport.write(piece, callback);
    }
  }
  transport.uncork();
}

/** Joins small chunks and cuts large ones; one empty piece when there is nothing. */
function gather(chunks: readonly Buffer[]): Buffer[] {
  const joined =
    chunks.length > 1 && chunks.every(({ length }) => length <= smallBytes)
      ? [Buffer.concat(chunks)]
      : chunks;
  const pieces = joined.flatMap((chunk) =>
    Array.from({ length: Math.ceil(chunk.length / maxDataBytes) }, (_, i) =>
      chunk.subarray(i * maxDataBytes, (i + 1) * maxDataBytes),
    ),
  );
  return pieces.length === 0 ? [Buffer.alloc(0)] : pieces;
}
