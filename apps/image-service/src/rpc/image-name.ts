import { RuntimeError } from '@gantry/errors';

/** The name in a request. Throws `invalid-argument` where there is none; `doing` begins the message. */
export function imageNameOf(image: { readonly image: string } | undefined, doing: string): string {
  const name = image?.image ?? '';
  if (name === '') {
    throw new RuntimeError('invalid-argument', `${doing}: the request names no image`);
  }
  return name;
}
