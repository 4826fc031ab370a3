import { ImageUsageResponseSchema } from '@gantry/proto';
import { connect } from '../cri/connection.ts';
import type { Invocation } from '../invocation.ts';
import { formatted, messageJson, outputFormat } from '../output/format.ts';
import { humanSize, shortId } from '../output/size.ts';
import { table } from '../output/table.ts';

/** `gantry image usage`: what each image takes on disk, what its removal would free, and who uses it. */
export async function imageUsage(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const response = await cri.imageAdmin.imageUsage({}, { signal: invocation.signal });
  const format = outputFormat(invocation);
  if (format !== 'table') {
    invocation.out(formatted(format, messageJson(ImageUsageResponseSchema, response)));
    return;
  }
  const rows = response.images.map((image) => [
    image.repoTags[0] ?? '<none>',
    shortId(image.id),
    humanSize(image.bytes),
    humanSize(image.ownBytes),
    image.pinned ? 'pinned' : usedBy(image.usedBy.length),
  ]);
  invocation.out(table(['IMAGE', 'IMAGE ID', 'SIZE', 'OWN', 'USED BY'], rows));
  invocation.out(
    `\nimages take ${humanSize(response.totalBytes)}, ` +
      `${humanSize(response.unreferencedBytes)} of it in layers that no image needs; ` +
      `writable layers of containers take ${humanSize(response.rootBytes)}\n`,
  );
}

function usedBy(count: number): string {
  return count === 0 ? 'nothing' : `${count} container${count === 1 ? '' : 's'}`;
}
