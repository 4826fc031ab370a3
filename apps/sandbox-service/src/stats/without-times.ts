import assert from 'node:assert/strict';
import { type DescMessage, type MessageShape, toJson } from '@bufbuild/protobuf';

type Json = Record<string, Record<string, unknown> | undefined>;

/** The JSON of a stats message for a test; each part must have had the time of its taking, which is left out. */
export function withoutTimes<D extends DescMessage>(
  schema: D,
  message: MessageShape<D> | undefined,
): Json {
  assert.ok(message !== undefined);
  const json = JSON.stringify(toJson(schema, message));
  return JSON.parse(json, (key, value: unknown) => {
    if (key !== 'timestamp') {
      return value;
    }
    assert.ok(Number(value) > 1.6e18, `timestamp ${String(value)}`);
    return undefined;
  }) as Json;
}
