import { formatReference, parseReference } from '@gantry/oci';
import type { ImageRecord } from '../store/image-records.ts';

/** Whether an image is one that neither a kubelet nor a person prunes. */
export type IsPinned = (image: Pick<ImageRecord, 'repoTags' | 'repoDigests'>) => boolean;

/** `names` may be in any form. */
export function pinnedBy(names: readonly string[]): IsPinned {
  const pinned = new Set(names.map((name) => formatReference(parseReference(name))));
  return ({ repoTags, repoDigests }) =>
    [...repoTags, ...repoDigests].some((name) => pinned.has(name));
}
