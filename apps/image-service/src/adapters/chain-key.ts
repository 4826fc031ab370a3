import { createHash } from 'node:crypto';
import type { Digest } from '@gantry/oci';

/** A name for a chain of layers, lowest first: the same chain has the same. */
export function chainKey(diffIds: readonly Digest[]): string {
  return createHash('sha256').update(diffIds.join('\n')).digest('hex');
}
