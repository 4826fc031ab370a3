import { RuntimeError } from '@gantry/errors';

declare const brand: unique symbol;

/** `sha256:<64 hex>` or `sha512:<128 hex>`, lower case. Only `parseDigest` and `digestOf` make one. */
export type Digest = string & { readonly [brand]: 'Digest' };
export type DigestAlgorithm = 'sha256' | 'sha512';

const hexLength: Readonly<Record<DigestAlgorithm, number>> = { sha256: 64, sha512: 128 };

/** Reports whether `text` is a digest that we can verify (OCI image spec, descriptor.md). */
export function isDigest(text: string): text is Digest {
  return /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(text);
}

/** Throws `invalid-argument` for anything but a well-formed sha256 or sha512 digest. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) {
    const shown = JSON.stringify(text.slice(0, 160));
    throw new RuntimeError('invalid-argument', `digest ${shown}: not a sha256 or sha512 digest`);
  }
  return text;
}

/** The digest with the given hex part; throws as `parseDigest` does. */
export function digestOf(algorithm: DigestAlgorithm, hex: string): Digest {
  return parseDigest(`${algorithm}:${hex}`);
}

/** `sha256` or `sha512`: the name that node:crypto knows the hash by, too. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512';
}

/** The hex part: safe as a file name. */
export function hexOf(digest: Digest): string {
  return digest.slice(-hexLength[algorithmOf(digest)]);
}
