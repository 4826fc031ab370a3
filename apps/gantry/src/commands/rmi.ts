import { RuntimeError } from '@gantry/errors';
import { connect } from '../cri/connection.ts';
import { forEachNamed } from '../each.ts';
import type { Invocation } from '../invocation.ts';

/** `gantry rmi IMAGE...`: removes images with all their tags. One that is not there is an error, unlike in the CRI. */
export async function rmi(invocation: Invocation): Promise<number> {
  using cri = connect(invocation);
  const { signal } = invocation;
  return await forEachNamed(invocation, invocation.args, async (image) => {
    const status = await cri.images.imageStatus({ image: { image } }, { signal });
    if (status.image === undefined) {
      throw new RuntimeError('not-found', `image ${image}: not found`);
    }
    await cri.images.removeImage({ image: { image } }, { signal });
    return `Deleted: ${status.image.repoTags.join(', ') || status.image.id}`;
  });
}
