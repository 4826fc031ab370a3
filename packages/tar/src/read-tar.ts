import type { TarLimits, TarSink } from './entry.ts';
import { TarReader } from './reader.ts';

/** Reads a whole archive from a stream of pieces. Throws as `TarReader` does, and what the source throws. */
export async function readTar(
  source: AsyncIterable<Uint8Array>,
  sink: TarSink,
  limits?: Partial<TarLimits>,
): Promise<void> {
  const reader = new TarReader(sink, limits);
  for await (const chunk of source) {
    reader.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
  }
  reader.finish();
}
