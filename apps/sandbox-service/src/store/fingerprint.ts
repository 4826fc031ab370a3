import { createHash } from 'node:crypto';
import { type DescMessage, type JsonValue, type MessageShape, toJson } from '@bufbuild/protobuf';

/**
 * A digest of what a request says. The bytes will not do: a client may write
 * the entries of a map in any order, and a kubelet does.
 */
export function fingerprint<D extends DescMessage>(schema: D, message: MessageShape<D>): string {
  const json = JSON.stringify(sorted(toJson(schema, message)));
  return createHash('sha256').update(json).digest('hex');
}

function sorted(value: JsonValue): JsonValue {
  if (Array.isArray(value)) {
    return value.map(sorted);
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, v]): [string, JsonValue] => [key, sorted(v)]);
    return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }
  return value;
}
