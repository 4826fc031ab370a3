import { RuntimeError } from '@gantry/errors';
import type { Descriptor } from '@gantry/oci';

/** The bytes of a blob are not those that its manifest promises: whoever sent them is at fault, and not the image. */
export class WrongBlobError extends RuntimeError {
  constructor(message: string) {
    super('failed-precondition', message);
  }
}

/** More came than there is. */
export function tooLong({ digest, size }: Pick<Descriptor, 'digest' | 'size'>): WrongBlobError {
  return new WrongBlobError(`blob ${digest}: more than the ${size} bytes that its manifest tells`);
}

/** It has ended, and not by a broken connection. */
export function tooShort(
  { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
  received: number,
): WrongBlobError {
  return new WrongBlobError(`blob ${digest}: ${received} bytes where its manifest tells ${size}`);
}

/** What came has another digest, `<algorithm>:<hex>`. */
export function otherDigest(
  { digest }: Pick<Descriptor, 'digest'>,
  actual: string,
): WrongBlobError {
  return new WrongBlobError(`blob ${digest}: its content has the digest ${actual}`);
}
