import type { MessageInitShape } from '@bufbuild/protobuf';
import { formatReference, parseReference } from '@gantry/oci';
import type { ImageSchema } from '@gantry/proto';
import type { ImageRecord } from '../store/image-records.ts';

/** Turns a record into the CRI's Image. */
export type CriImageOf = (image: ImageRecord) => MessageInitShape<typeof ImageSchema>;

/** `pinned` are names, in any form, of images that a kubelet must not collect. */
export function criImageOf(pinned: readonly string[]): CriImageOf {
  const names = new Set(pinned.map((name) => formatReference(parseReference(name))));

  return ({ id, repoTags, repoDigests, bytes, user }) => ({
    id,
    repoTags: [...repoTags],
    repoDigests: [...repoDigests],
    size: BigInt(bytes),
    pinned: [...repoTags, ...repoDigests].some((name) => names.has(name)),
    ...userOf(user),
  });
}

/** The text before the colon: a number is a uid, anything else a name, nothing is neither. */
function userOf(text: string): { uid?: { value: bigint }; username?: string } {
  const [user = ''] = text.split(':');
  if (user === '') {
    return {};
  }
  return /^\d{1,18}$/.test(user) ? { uid: { value: BigInt(user) } } : { username: user };
}
