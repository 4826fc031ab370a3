import { RuntimeError } from '@gantry/errors';
import type { Store } from '@gantry/store';
import { type ObjectId, parsePrefix } from '../ids.ts';

/**
 * The id of the one visible object whose id begins with `text`; undefined when
 * there is none. Throws `invalid-argument` for an empty text, or when more than
 * one begins like that.
 */
export function findByPrefix(
  store: Store,
  what: 'sandbox' | 'container',
  text: string,
): ObjectId | undefined {
  const prefix = parsePrefix(what, text);
  if (prefix === undefined) {
    return undefined;
  }
  const table = what === 'sandbox' ? 'sandboxes' : 'containers';
  // "g" comes after every hex digit: the range is walked in the primary key.
  const [first, second] = store
    .prepare<{ id: ObjectId }>(
      `SELECT id FROM ${table} WHERE id >= ? AND id < ? AND phase <> 'creating' LIMIT 2`,
    )
    .all(prefix, `${prefix}g`);
  if (second !== undefined) {
    throw new RuntimeError('invalid-argument', `${what} id "${text}": more than one begins so`);
  }
  return first?.id;
}
