import { resolve } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { ArchiveFormat, type ExportedImage } from '@gantry/proto';
import { connect } from '../cri/connection.ts';
import { type Invocation, option } from '../invocation.ts';
import { humanSize, shortId } from '../output/size.ts';
import { receiveArchive } from '../streams/receive-archive.ts';

const formats: ReadonlyMap<string, ArchiveFormat> = new Map([
  ['oci', ArchiveFormat.ARCHIVE_OCI],
  ['docker-archive', ArchiveFormat.ARCHIVE_DOCKER],
]);

/** `gantry image export IMAGES... -f FILE`: an archive that import, skopeo, podman and docker read; without a file on stdout. */
export async function imageExport(invocation: Invocation): Promise<void> {
  const format = formats.get(option(invocation, 'format') ?? 'oci');
  if (format === undefined) {
    throw new RuntimeError(
      'invalid-argument',
      `--format: must be one of ${[...formats.keys()].join(', ')}`,
    );
  }
  const file = option(invocation, 'file') ?? '-';
  if (file === '-' && process.stdout.isTTY) {
    throw new RuntimeError(
      'invalid-argument',
      'export: an archive is nothing for a terminal: name a file with --file, or pipe it',
    );
  }
  using cri = connect(invocation);
  const { images, bytes } = await receiveArchive(
    file === '-' ? undefined : resolve(file),
    invocation.signal,
    (socket, signal) =>
      cri.imageAdmin.exportImages({ images: [...invocation.args], format, socket }, { signal }),
  );
  for (const image of images) {
    invocation.note(told(image));
  }
  if (file !== '-') {
    invocation.note(`${humanSize(bytes)} in ${file}`);
  }
}

function told(image: ExportedImage): string {
  const name = image.names.join(', ') || '<none>';
  if (image.exact) {
    const as = image.manifestDigest === '' ? '' : `, manifest ${image.manifestDigest}`;
    return `${name}  ${shortId(image.id)}: as it came${as}`;
  }
  const manifest =
    image.manifestDigest === '' ? '' : `, under a new manifest ${image.manifestDigest}`;
  return image.exportedId === image.id
    ? `${name}  ${shortId(image.id)}: packed again, for the compressed layers were not kept (images.keep_compressed_layers); the same id and layers, uncompressed${manifest}`
    : `${name}  ${shortId(image.id)}: packed again from extracted directories; in the archive it is ${image.exportedId}${manifest}`;
}
