import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ImageSchema } from '@gantry/proto';
import type { IsPinned } from '../images/pinned.ts';
import type { ImageRecord } from '../store/image-records.ts';

/** Turns a record into the CRI's Image. */
export type CriImageOf = (image: ImageRecord) => MessageInitShape<typeof ImageSchema>;

/** `isPinned` tells which images a kubelet must not collect. */
export function criImageOf(isPinned: IsPinned): CriImageOf {
  return (image) => ({
    id: image.id,
    repoTags: [...image.repoTags],
    repoDigests: [...image.repoDigests],
    size: BigInt(image.bytes),
    pinned: isPinned(image),
    ...userOf(image.user),
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
