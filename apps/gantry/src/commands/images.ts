import { type Image, ListImagesResponseSchema } from '@gantry/proto';
import { connect } from '../cri/connection.ts';
import { flag, type Invocation } from '../invocation.ts';
import { formatted, messageJson, outputFormat } from '../output/format.ts';
import { humanSize, shortId } from '../output/size.ts';
import { table } from '../output/table.ts';

const none = '<none>';

/** `gantry images [NAME]`: every image, one line a tag. */
export async function images(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const [image] = invocation.args;
  const response = await cri.images.listImages(
    image === undefined ? {} : { filter: { image: { image } } },
    { signal: invocation.signal },
  );
  if (flag(invocation, 'quiet')) {
    invocation.out(response.images.map((i) => `${i.id}\n`).join(''));
    return;
  }
  const format = outputFormat(invocation);
  if (format !== 'table') {
    invocation.out(formatted(format, messageJson(ListImagesResponseSchema, response)));
    return;
  }
  const hasDigests = flag(invocation, 'digests');
  const head = ['IMAGE', 'TAG', ...(hasDigests ? ['DIGEST'] : []), 'IMAGE ID', 'SIZE'];
  const rows = response.images.flatMap((i) => imageRows(i, hasDigests));
  rows.sort((a, b) => a.join('\0').localeCompare(b.join('\0')));
  invocation.out(table(head, rows));
}

/** One row for each tag; an image that has none is told by its digest's repository. */
export function imageRows(image: Image, hasDigests: boolean): string[][] {
  const [digestName, digest] = (image.repoDigests[0] ?? `${none}@${none}`).split('@');
  const tags = image.repoTags.length > 0 ? image.repoTags : [`${digestName ?? none}:${none}`];
  return tags.map((reference) => {
    const colon = reference.lastIndexOf(':');
    return [
      reference.slice(0, colon),
      reference.slice(colon + 1),
      ...(hasDigests ? [shortId(digest ?? none)] : []),
      shortId(image.id),
      humanSize(image.size),
    ];
  });
}
