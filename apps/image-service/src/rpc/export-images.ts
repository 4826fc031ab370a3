import { once } from 'node:events';
import { createConnection } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { ServiceImpl } from '@gantry/bus';
import { messageOf, RuntimeError } from '@gantry/errors';
import { ArchiveFormat, type ImageAdmin } from '@gantry/proto';
import { exportImages as exportFrom } from '../export/export-images.ts';
import type { ImageStore } from '../images/image-store.ts';

/**
 * Writes images to the socket of the caller: an archive is too much for the bus.
 * What the caller writes to is its own affair, and its file gets its own owner.
 */
export function exportImages({
  store,
}: {
  readonly store: ImageStore;
}): ServiceImpl<typeof ImageAdmin>['exportImages'] {
  return async ({ images, format, socket }, { signal }) => {
    const name = format === ArchiveFormat.ARCHIVE_DOCKER ? 'docker' : 'oci';
    const write = (tar: AsyncIterable<Uint8Array>) => writeTo(socket, tar, signal);
    const { bytes, images: exported } = await exportFrom(store, images, name, write, signal);
    return {
      bytes: BigInt(bytes),
      images: exported.map((image) => ({
        id: image.id,
        names: [...image.names],
        exportedId: image.exportedId,
        manifestDigest: image.manifestDigest ?? '',
        exact: image.isExact,
      })),
    };
  };
}

async function writeTo(
  path: string,
  tar: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const socket = createConnection({ path });
  try {
    await once(socket, 'connect', { signal });
  } catch (error) {
    signal.throwIfAborted();
    const why = `nobody listens on the socket ${path}: ${messageOf(error)}`;
    throw new RuntimeError('invalid-argument', why);
  }
  // What it might say is of no interest; unread, it would keep the socket open.
  socket.resume();
  await pipeline(tar, socket, { signal });
}
